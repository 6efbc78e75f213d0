from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from clip_factory import ffmpeg, numbered_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from vmaf_train.luma import area_resize, area_weights, luma_of, to_8_bits, to_unit

SIZES = [
    (540, 960, 224, 224),
    (97, 161, 64, 64),
    (224, 224, 224, 224),
    (60, 90, 224, 224),
    (300, 100, 64, 224),
]


@pytest.mark.parametrize(("height", "width", "to_height", "to_width"), SIZES)
def test_area_resize_is_within_one_code_value_of_ffmpeg(
    height: int, width: int, to_height: int, to_width: int
) -> None:
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (height, width)).astype(np.uint8)
    for luma in (noise, numbered_frame(9, width, height)):
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv444p"]
        scale = ["-vf", f"scale={to_width}:{to_height}:flags=area"]
        source = [*raw, "-s", f"{width}x{height}", "-i", "-"]
        planes = ffmpeg(*source, *scale, *raw, "-", data=luma.tobytes() * 3)
        theirs = np.frombuffer(planes, np.uint8)[: to_height * to_width].reshape(to_height, to_width)
        assert np.abs(area_resize(luma, to_height, to_width).astype(int) - theirs).max() <= 1


@given(source=st.integers(1, 900), target=st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_weights_are_float32_and_each_row_sums_to_one(source: int, target: int) -> None:
    weights = area_weights(source, target)
    assert weights.shape == (target, source)
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    if source >= target:
        assert np.allclose(weights.sum(axis=0), target / source, atol=1e-6)


@given(st.tuples(*[st.integers(1, 70)] * 4))
@settings(max_examples=40, deadline=None)
def test_two_matrix_products_give_the_same_resize(sizes: tuple[int, int, int, int]) -> None:
    height, width, to_height, to_width = sizes
    luma = np.random.default_rng(sum(sizes)).integers(0, 256, (height, width)).astype(np.uint8)
    product = area_weights(height, to_height) @ luma.astype(np.float32) @ area_weights(width, to_width).T
    assert np.abs(area_resize(luma, to_height, to_width) - product).max() <= 0.501


def test_the_same_size_is_the_same_plane() -> None:
    luma = numbered_frame(3)
    assert np.array_equal(area_resize(luma, *luma.shape), luma)


@pytest.mark.parametrize("target", [(0, 5), (5, 0)])
def test_an_empty_target_is_refused(target: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot resize"):
        area_resize(numbered_frame(0), *target)
    with pytest.raises(ValueError, match="cannot resize"):
        area_weights(*target)


@pytest.mark.parametrize(("bits", "values"), [(8, (0, 255)), (10, (0, 1023)), (12, (0, 4095))])
def test_unit_range_ends_at_the_largest_code_value(bits: int, values: tuple[int, int]) -> None:
    unit = to_unit(np.array(values, dtype=np.uint16), bits)
    assert unit.dtype == np.float32
    assert unit.tolist() == [0.0, 1.0]


def test_deeper_video_levels_round_to_the_8_bit_ones() -> None:
    assert to_8_bits(np.array([64, 65, 66, 940, 1023], dtype=np.uint16), 10).tolist() == [
        16,
        16,
        17,
        235,
        255,
    ]
    assert to_8_bits(np.array([256, 3760, 4095], dtype=np.uint16), 12).tolist() == [16, 235, 255]
    assert to_8_bits(np.array([0, 255], dtype=np.uint8), 8).tolist() == [0, 255]


FORMATS = [
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuv444p",
    "nv12",
    "nv21",
    "gray",
    "yuv420p10le",
    "yuv420p10be",
    "ya8",
    "ya16le",
]
DEEP = ["yuv422p12le", "gray10le", "p010le", "p016le", "yuva420p", "uyvy422", "yuyv422"]


@pytest.mark.parametrize("pix_fmt", FORMATS + DEEP)
def test_luma_is_the_plane_as_coded_in_every_pixel_format(pix_fmt: str, tmp_path: object) -> None:
    coded = numbered_frame(5, 166, 94)
    frame = VideoFrame(166, 94, "yuv420p")
    for plane, value in zip(frame.planes, (coded, 128, 128), strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = value
        plane.update(padded.tobytes())
    if pix_fmt.startswith(("gray", "ya")) or pix_fmt == "yuvj420p":
        # conversion to these would stretch the range: write the plane itself
        shift = 2 if "10" in pix_fmt else 8 if "16" in pix_fmt else 0
        step = 2 if pix_fmt.startswith("ya") else 1
        frame = VideoFrame(166, 94, pix_fmt)
        kind = np.dtype(np.uint16 if shift else np.uint8)
        padded = np.full((94, frame.planes[0].line_size // kind.itemsize), 200, kind)
        padded[:, : 166 * step : step] = coded.astype(kind) << shift
        frame.planes[0].update(padded.tobytes())
    else:
        frame = frame.reformat(format=pix_fmt)
    assert np.array_equal(luma_of(frame, tmp_path), coded)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(4320, 7680), (7680, 4320), (1, 16384)])
def test_the_sums_of_an_8k_frame_do_not_overflow(size: tuple[int, int]) -> None:
    assert (area_resize(np.full(size, 255, np.uint8), 224, 224) == 255).all()


@pytest.mark.parametrize(
    "pix_fmt", ["p010le", "p012le", "p210le", "p212le", "p410le", "p410be", "p412le", "p216le"]
)
def test_luma_in_the_upper_part_of_16_bits_is_found_at_every_subsampling(
    pix_fmt: str, tmp_path: Path
) -> None:
    coded = numbered_frame(5, 166, 94)
    frame = VideoFrame(166, 94, pix_fmt)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    padded = np.zeros((94, frame.planes[0].line_size // 2), ">u2" if pix_fmt.endswith("be") else "<u2")
    padded[:, :166] = coded.astype(np.uint16) << 8
    frame.planes[0].update(padded.tobytes())
    assert np.array_equal(luma_of(frame, tmp_path), coded)
