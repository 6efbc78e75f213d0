"""The planes of a decoded frame as arrays, and back, without loss."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

# planar formats of 8 to 16 bits whose first plane is luma and nothing else
PLANAR = re.compile(r"(?:yuvj?4[1-4][0-4]p|yuva4[2-4][0-4]p|gray)(9|10|12|14|16)?(?:le)?")

# formats that mix planes or fill words from the top -> the planar one with the same samples, to which
# swscale moves them without changing a bit, see the test
SAME_SAMPLES = {
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("nv16", "uyvy422", "yuyv422", "yvyu422"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42", "vuyx", "vyu444"), "yuv444p"),
    **dict.fromkeys(("vuya", "ayuv", "uyva"), "yuva444p"),
    **{f"p0{bits}le": f"yuv420p{bits}le" for bits in (10, 12, 16)},
    **{f"{name}{bits}le": f"yuv422p{bits}le" for name in ("p2", "y2") for bits in (10, 12, 16)},
    **{f"p4{bits}le": f"yuv444p{bits}le" for bits in (10, 12, 16)},
    **dict.fromkeys(("xv30le", "v30xle"), "yuv444p10le"),
    **{"xv36le": "yuv444p12le", "xv48le": "yuv444p16le", "ayuv64le": "yuva444p16le"},
}
# JPEG's formats are full-range by name, and few encoders know that name
FULL_RANGE = {f"yuvj{form}p": f"yuv{form}p" for form in (420, 422, 444, 440, 411)}
TAGS = ("colorspace", "color_range", "color_trc", "color_primaries")

RunCodes = Callable[[NDArray[Any], int], NDArray[Any]]


def bit_depth(pix_fmt: str) -> int | None:
    """Bits a sample of a planar YUV or grey format; None for every other format (RGB, packed, nv12)."""
    match = PLANAR.fullmatch(pix_fmt)
    return int(match[1] or 8) if match else None


def to_planar(frame: VideoFrame, reformatter: VideoReformatter) -> VideoFrame | None:
    """The frame with the same samples and properties in a planar format; None if it has no luma samples."""
    name = frame.format.name
    if bit_depth(name) is not None and name not in FULL_RANGE:
        return frame
    swapped = re.sub("be$", "le", name)
    twin = (FULL_RANGE | SAME_SAMPLES).get(name, swapped if bit_depth(swapped) else None)
    if twin is None:
        return None
    if name in FULL_RANGE:
        # where the tag is missing, swscale would squeeze the range
        frame.color_range = ColorRange.JPEG
    # one thread: of several, each writes past its last row, over the first pixels of the next one's
    planar = reformatter.reformat(frame, format=twin, threads=1)
    # PyAV mistakes their numbers for swscale's
    for tag in TAGS:
        setattr(planar, tag, getattr(frame, tag))
    return planar


def no_luma(form: VideoFormat, source: str = "-i IN -map 0 -c copy") -> str:
    """What a format is that `to_planar` does not take, and how ffmpeg, given `source`, converts it best."""
    kinds = ((form.has_palette, "palette colours"), (form.is_bayer, "a raw sensor's"), (form.is_rgb, "RGB"))
    kind = next((text for true, text in kinds if true), "an unusual layout")
    alpha = "a" if any(component.is_alpha for component in form.components) else ""
    bits = 8 if form.has_palette else form.components[0].bits
    deep = next((f"{depth}le" for depth in (10, 12) if 8 < bits <= depth), "16le" if bits > 12 else "")
    return (
        f"{form.name} ({kind}) cannot be filtered as it is; convert it first, with no loss but that of YUV "
        f"itself: ffmpeg {source} -c:v ffv1 -pix_fmt yuv{alpha}444p{deep} OUT.mkv"
    )


def chroma_planes(form: VideoFormat) -> tuple[int, ...]:
    """Indices of the two chroma planes of a planar format; none for grey."""
    return () if form.name.startswith("gray") else (1, 2)


def plane_view(frame: VideoFrame, index: int, bits: int) -> NDArray[Any]:
    """One plane (H, W) as a view of the frame's memory: uint8, or uint16 above 8 bits."""
    plane = frame.planes[index]
    sample = np.dtype(np.uint8 if bits == 8 else "<u2")
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height]
    return rows[:, : plane.width * sample.itemsize].view(sample)


def filter_codes(plane: NDArray[Any], bits: int, run: RunCodes) -> None:
    """Replace the code values of a plane (H, W) by `run` of them, (1, 1, H, W) with the same type."""
    np.copyto(plane, run(np.ascontiguousarray(plane)[None, None], bits)[0, 0])
