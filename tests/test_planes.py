"""Planes of frames as arrays."""

from __future__ import annotations

import av
import numpy as np
import pytest

from vmaf_train.planes import bit_depth, chroma_planes, filter_codes, filter_plane, plane_view


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("yuv420p", 8),
        ("yuvj422p", 8),
        ("yuv444p10le", 10),
        ("yuv420p12le", 12),
        ("yuva444p12le", 12),
        ("gray", 8),
        ("gray10le", 10),
        ("yuv420p16le", 16),
        ("nv12", None),
        ("yuyv422", None),
        ("gbrp", None),
        ("p010le", None),
        ("yuv420p10be", None),
        ("grayf32le", None),
        ("ya8", None),
    ],
)
def test_the_depth_of_planar_luma_is_known_and_nothing_else_is_taken(name: str, bits: int | None) -> None:
    av.VideoFormat(name)
    assert bit_depth(name) == bits


def test_a_view_is_the_memory_of_the_frame_without_its_padding() -> None:
    frame = av.VideoFrame(5, 3, "yuv420p10le")
    for index, shape in ((0, (3, 5)), (1, (2, 3)), (2, (2, 3))):
        view = plane_view(frame, index, 10)
        assert view.shape == shape
        view[...] = np.arange(view.size).reshape(shape) + 1000
        assert np.array_equal(plane_view(frame, index, 10), view)
    assert chroma_planes(frame.format) == (1, 2)
    assert chroma_planes(av.VideoFormat("gray")) == ()


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_code_value_survives_the_way_to_float_and_back(bits: int) -> None:
    plane = np.arange(2**bits, dtype=np.uint8 if bits == 8 else np.uint16).reshape(16, -1)
    before = plane.copy()
    filter_plane(plane, bits, lambda values: values)
    assert np.array_equal(plane, before)


def test_the_model_sees_0_to_1_and_its_answer_is_rounded_and_clipped() -> None:
    plane = np.uint16([[0, 512, 1023]])
    seen = []

    def run(values: np.ndarray) -> np.ndarray:
        seen.append(values.copy())
        return np.float32([[[[-3, 0.3, np.nan]]]])

    filter_plane(plane, 10, run)
    assert seen[0].shape == (1, 1, 1, 3)
    assert seen[0].dtype == np.float32
    assert seen[0].max() == 1
    assert plane.tolist() == [[0, 307, 0]]


def test_codes_go_in_without_gaps_and_come_back_in_place() -> None:
    frame = av.VideoFrame(5, 3, "yuv420p10le")
    plane = plane_view(frame, 0, 10)
    plane[...] = np.arange(15).reshape(3, 5)

    def run(codes: np.ndarray, bits: int) -> np.ndarray:
        assert codes.shape == (1, 1, 3, 5)
        assert codes.flags.c_contiguous
        assert bits == 10
        return codes + np.uint16(7)

    filter_codes(plane, 10, run)
    assert plane_view(frame, 0, 10).tolist() == (np.arange(15).reshape(3, 5) + 7).tolist()
