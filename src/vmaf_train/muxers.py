"""What FFmpeg's muxers do not say of themselves: which codecs they hold, and which times they can tell."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame

Y4M = "yuv4mpegpipe"
HIDE_NEGATIVE = ("mp4", "mov", "ipod", "3gp", "3g2", "psp", "f4v", "ismv")  # containers with edit lists
# containers of one stream whose muxers take any codec, and what can be read back from them
ONLY: dict[str, tuple[str, ...]] = {"rawvideo": ("rawvideo",), "ffmetadata": ()}
SUFFIXES = (".mkv", ".mov", ".avi", ".nut")
NO_TIMES = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS
# of Y4M
DEEP = ("9le", "10le", "12le", "14le", "16le")
FORMATS = (
    *(f"yuv{chroma}p{deep}" for chroma in (420, 422, 444) for deep in ("", *DEEP)),
    *("yuv411p", "yuva444p", "gray", "gray9le", "gray10le", "gray12le", "gray16le"),
)
# muxers that know what they hold when they get it, and do not tell before
SILENT = ("mpegts", "mpeg", "svcd", "vcd", "vob", "dvd", "mxf", "mxf_d10", "mxf_opatom")
# codecs that the muxer of MP4 and MOV lists for both
ONLY_IN_MP4 = ("av1", "vp8", "vp9", "opus", "flac", "truehd")
SOUND_IN_MXF = ("pcm_s16le", "pcm_s24le")
# MPEG program streams, and what FFmpeg reads back from them
PROGRAM = ("mpeg", "svcd", "vcd", "vob", "dvd")
IN_PROGRAM = {
    *("mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc"),
    *("mp2", "mp3", "ac3", "dts", "pcm_s16be", "pcm_dvd", "dvd_subtitle"),
}
# codecs that FFmpeg reads back from MPEG-TS as what they are, of .ts and of .m2ts; any other becomes data
IN_MPEG_TS = {
    *("mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc", "vvc", "vc1"),
    *("mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m"),
}
IN_TS = {"dirac", "cavs", "avs2", "avs3", "dvb_subtitle", "dvb_teletext", "arib_caption"}
IN_M2TS = {"pcm_bluray", "hdmv_pgs_subtitle", "hdmv_text_subtitle"}


def holds(container: OutputContainer, codec: str) -> bool:
    """Whether a codec can be read back; most muxers refuse what they cannot hold, these do not."""
    name = container.format.name
    if name in ONLY:
        return codec in ONLY[name]
    if name == "flv":
        # with the tag that it has elsewhere, FFmpeg's muxer ends the process
        return not codec.startswith("pcm_")
    if name in PROGRAM:
        return codec in IN_PROGRAM
    if name != "mpegts":
        return True
    # the muxer goes by the suffix as well
    blu_ray = Path(container.name).suffix.lower() == ".m2ts"
    return codec in IN_MPEG_TS | (IN_M2TS if blu_ray else IN_TS)


def takes(container: OutputContainer, codec: str) -> bool:
    """Whether a container takes a codec, as far as its muxer tells; one that tells nothing takes all."""
    name = container.format.name
    if name == "mov" and codec in ONLY_IN_MP4:
        return False
    if name == Y4M and codec == "rawvideo":  # its muxer tells of wrapped frames only
        return True
    return holds(container, codec) and (name in SILENT or codec in container.supported_codecs)


def copies(container: OutputContainer, kind: str, codec: str) -> bool:
    """Whether a container takes packets of a codec, as far as that is known before it tries."""
    name = container.format.name
    if name.startswith("mxf") and kind in ("audio", "subtitle"):
        return codec in SOUND_IN_MXF
    return holds(container, codec) and not (name == "mov" and codec in ONLY_IN_MP4)


def suffix_for(encoder: str, codec: str) -> str:
    """A suffix of a container that takes what an encoder writes: .mkv, or what else there is."""
    for suffix in SUFFIXES:
        with av.open(f"out{suffix}", "w") as container, contextlib.suppress(ValueError):
            if holds(container, codec):
                container.add_stream(encoder)
                return suffix
    return SUFFIXES[0]


def formats_of(container: OutputContainer) -> tuple[str, ...]:
    """Pixel formats that a container of pictures as they are can name; empty: any, or it is the codec's."""
    return FORMATS if container.format.name == Y4M else ()


def keeps_times(container: OutputContainer, reorders: bool) -> bool:
    """Whether a container has a time for each frame, and no rate alone; `reorders`: the encoder does so."""
    name = container.format.name
    if name == "avi":  # what it counts are packets, in the order of decoding
        return not reorders
    # in program streams frames of one packet share its time
    return not container.format.flags & NO_TIMES and name not in (Y4M, *PROGRAM)


def begins(source: InputContainer, first: VideoFrame, container: str) -> Fraction:
    """The time in seconds of `source` that becomes 0 in a `container`, which cannot tell it; else 0."""
    shown = first.pts * first.time_base if first.pts is not None and first.time_base else Fraction(0)
    start = min(Fraction(source.start_time or 0, 1_000_000), shown)
    if container == "avi":
        return start
    # what begins below zero is hidden in MP4 and its kin
    return min(start, Fraction(0)) if shown < 0 and container in HIDE_NEGATIVE else Fraction(0)
