"""Planes of frames as arrays."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vmaf_train.planes import (
    FULL_RANGE,
    SAME_SAMPLES,
    bit_depth,
    chroma_planes,
    filter_codes,
    no_luma,
    plane_view,
    to_planar,
)


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


def noise(name: str, size: tuple[int, int]) -> av.VideoFrame:
    frame, generator = av.VideoFrame(*size, name), np.random.default_rng(0)
    for plane in frame.planes:
        plane.update(generator.bytes(plane.buffer_size))
    return frame


def words(frame: av.VideoFrame, index: int, kind: str) -> NDArray[np.uint32]:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows.view(kind).astype(np.uint32)


# places of Y, U, V (and A) among the words of a group
PLACES = {
    **{"uyvy422": "1024", "yuyv422": "0134", "yvyu422": "0314", "y210le": "0134", "y212le": "0134"},
    **{"y216le": "0134", "vuyx": "210", "vyu444": "120", "vuya": "2103", "ayuv": "1230", "uyva": "1023"},
    **{"xv36le": "102", "xv48le": "102", "ayuv64le": "1230"},
}


def samples_by_hand(frame: av.VideoFrame, bits: int) -> list[NDArray[np.uint32]]:
    """Every plane of a frame in a format of SAME_SAMPLES, from its description in FFmpeg's pixfmt.h."""
    name = frame.format.name
    kind, shift = ("u1", 0) if bits == 8 else ("<u2", 16 - bits)
    first = words(frame, 0, kind) >> shift
    if name.startswith(("nv", "p0", "p2", "p4")):
        second = words(frame, 1, kind) >> shift
        chroma = [second[:, ::2], second[:, 1::2]]
        return [first, *(chroma[::-1] if name in ("nv21", "nv42") else chroma)]
    if name in ("xv30le", "v30xle"):
        packed = words(frame, 0, "<u4") >> (2 if name == "v30xle" else 0)
        return [packed >> place & 1023 for place in (10, 0, 20)]
    places = [int(place) for place in PLACES[name]]
    if places[-1] == 4:  # 4:2:2: two Y in a group of four
        return [first[:, places[0] :: 2], first[:, places[1] :: 4], first[:, places[2] :: 4]]
    group = 3 if name == "vyu444" else 4
    return [first[:, place::group] for place in places]


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (1, 1), (641, 90)])
@pytest.mark.parametrize("name", SAME_SAMPLES)
def test_repacking_changes_no_bit(name: str, size: tuple[int, int]) -> None:
    frame = noise(name, size)
    planar = to_planar(frame, VideoReformatter())
    assert planar is not None
    assert planar.format.name == SAME_SAMPLES[name]
    bits = bit_depth(planar.format.name)
    assert bits is not None
    for index, expected in enumerate(samples_by_hand(frame, bits)):
        view = plane_view(planar, index, bits)
        assert np.array_equal(view, expected[: view.shape[0], : view.shape[1]])


@pytest.mark.parametrize("name", ["yuv420p10be", "yuva444p16be", "gray12be"])
def test_the_order_of_bytes_is_turned_and_no_bit_changed(name: str) -> None:
    frame = noise(name, (63, 47))
    bits = frame.format.components[0].bits
    for plane in frame.planes:
        kept = np.frombuffer(memoryview(plane), ">u2") & np.uint16(2**bits - 1)
        plane.update(kept.astype(">u2").tobytes())
    planar = to_planar(frame, VideoReformatter())
    assert planar is not None
    assert planar.format.name == name.replace("be", "le")
    for index in range(len(planar.planes)):
        view = plane_view(planar, index, bits)
        assert np.array_equal(view, words(frame, index, ">u2")[: view.shape[0], : view.shape[1]])


def test_a_planar_frame_is_taken_as_it_is() -> None:
    frame = noise("yuv420p", (64, 48))
    assert to_planar(frame, VideoReformatter()) is frame


@pytest.mark.parametrize(
    ("name", "kind", "advice"),
    [
        ("rgb24", "RGB", "yuv444p "),
        ("gbrap", "RGB", "yuva444p "),
        ("gbrp12le", "RGB", "yuv444p12le "),
        ("gbrpf32le", "RGB", "yuv444p16le "),
        ("pal8", "palette colours", "yuv444p "),
        ("bayer_rggb8", "a raw sensor's", "yuv444p "),
        ("grayf32le", "an unusual layout", "yuv444p16le "),
    ],
)
def test_what_has_no_luma_samples_is_named_with_a_way_that_keeps_most(
    name: str, kind: str, advice: str
) -> None:
    assert to_planar(noise(name, (4, 4)), VideoReformatter()) is None
    text = no_luma(av.VideoFormat(name))
    assert text.startswith(f"{name} ({kind}) cannot")
    assert f"-c:v ffv1 -pix_fmt {advice}OUT.mkv" in text


def test_planes_of_rare_subsamplings_and_of_transparency_are_known() -> None:
    # DV and old MPEG-4 clips
    assert bit_depth("yuv411p") == bit_depth("yuv410p") == bit_depth("yuvj411p") == 8
    # transparency is no chroma
    assert chroma_planes(av.VideoFormat("yuva420p")) == chroma_planes(av.VideoFormat("yuv411p")) == (1, 2)


@pytest.mark.parametrize("name", FULL_RANGE)
def test_full_range_by_name_becomes_a_tag_and_no_sample_changes(name: str) -> None:
    frame = noise(name, (32, 16))
    frame.color_range = 0
    planar = to_planar(frame, VideoReformatter())
    assert planar is not None
    assert planar.format.name == FULL_RANGE[name] == name.replace("j", "")
    assert planar.color_range == 2
    for index in range(3):
        assert np.array_equal(plane_view(planar, index, 8), plane_view(frame, index, 8))
