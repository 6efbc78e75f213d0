"""Where the chroma samples of a frame lie. PyAV does not say, so FFmpeg's filter `showinfo` is asked."""

from __future__ import annotations

import re

import av.logging
from av.filter import Graph
from av.video.frame import VideoFrame

from vmaf_train.messages import listening

UNKNOWN = "unspecified"
LOCATION = re.compile(r" cl:(\w+) ")


def chroma_location(frame: VideoFrame) -> str:
    """The place of a 4:2:0 frame's chroma samples by FFmpeg's name (left, topleft, ...), or UNKNOWN."""
    form = frame.format
    if (form.chroma_width(2), form.chroma_height(2)) != (1, 1):
        return UNKNOWN  # codecs tell the place for 4:2:0 only
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(width=frame.width, height=frame.height, format=form, time_base=frame.time_base)
    graph.link_nodes(source, graph.add("showinfo", checksum="0"), graph.add("buffersink")).configure()
    with listening(av.logging.INFO) as heard:
        graph.vpush(frame)
        graph.vpull()
    found = (LOCATION.search(what) for _, who, what in heard if who == "showinfo")
    return next((match[1] for match in found if match), UNKNOWN)
