"""The output file of `filter`: the encoded stream, the copied ones, and what the input said of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmaf_train.encode import Encoder, encoders_for
from vmaf_train.errors import UserError
from vmaf_train.lost import IN_Y4M, KEEP_CAPTIONS, OWN_TAGS, TELL_LOCATION, Look, asked_of, lost_in, side_data
from vmaf_train.messages import cause, listening, notes, unused_options
from vmaf_train.muxers import ONLY, Y4M, begins, copies, holds, keeps_times, suffix_for, takes
from vmaf_train.raw import Raw
from vmaf_train.siting import UNKNOWN, chroma_location
from vmaf_train.times import Clock, CopyClock

DEFAULT_RATE = Fraction(25)
UNPLACED = re.compile(r"(\d+) channels")
USUAL = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
X265_DELAY = 2  # frames by which libx265 decodes ahead at most


class Output:
    """An output file being written: frames are encoded, packets of other streams are copied."""

    def __init__(
        self, container: OutputContainer, source: InputContainer, first: VideoFrame, video: VideoStream,
        encoder: Encoder,
    ) -> None:  # fmt: skip
        """Set up every stream; `first` is the first frame, which knows what the container may not.

        Raises:
            UserError: the container or the encoder refuses.
        """
        self.container = container
        self.video_index = video.index
        self._frames = 0
        self.dropped: list[str] = []
        self.notes: list[str] = []
        self._copies: dict[int, Stream] = {}
        self._captions_lost = encoder.name not in KEEP_CAPTIONS
        self._rate = video.guessed_rate or video.average_rate or DEFAULT_RATE
        self._base = encoder.time_base(video.time_base or 1 / self._rate, self._rate)
        if container.format.name in ("avi", Y4M):  # they count frames
            self._base = 1 / self._rate
        self._path = source.name.removeprefix("file:")
        self._start_at = begins(source, first, container.format.name)
        self._clock = Clock(self._base, self._rate, self._path, self._start_at)
        self._clocks: dict[int, CopyClock] = {}
        self._chapters = source.chapters()
        self._tagged = {**source.metadata, **video.metadata}
        container.metadata.update(_tags(source.metadata))
        # streams keep their order
        for stream in source.streams:
            if stream.index == video.index:
                self._stream = self._encoded(video, first, encoder)
            else:
                self._copy(stream)
        container.set_chapters(self._chapters)
        if container.format.name == "rawvideo":
            raw = Raw(first.width, first.height, first.format.name, self._rate)
            self.notes.append(f"raw video has no header; read it with --raw {raw}")
        look = Look.of(first, video.sample_aspect_ratio)
        self._asked = asked_of(container, len(self._chapters), encoder.options, self._stream.index, look)
        self._start(encoder, first)

    def _cannot_hold(self, encoder: Encoder, first: VideoFrame) -> UserError:
        others = encoders_for(self.container, first.format)
        suffix = suffix_for(encoder.name, encoder.codec)
        return UserError(
            f"{encoder.name} writes {encoder.codec}, which {self.container.format.name} cannot hold; "
            f"give a name that ends in {suffix}{f', or --encoder {others}' if others else ''}"
        )

    def _start(self, encoder: Encoder, first: VideoFrame) -> None:
        with listening() as heard, unused_options() as unused:
            try:
                self.container.start_encoding()
            except (av.FFmpegError, ValueError) as error:
                said = cause(heard)
                # what the encoder refuses, it refuses in any container
                encoders = said is not None and said.startswith(f"{encoder.name}: ")
                if not (encoders or takes(self.container, encoder.codec)):
                    raise self._cannot_hold(encoder, first) from None
                if said:
                    error.add_note(said)
                raise
        if unused:
            muxer = self.container.format.name
            raise UserError(
                f"{encoder.name} has no option {', '.join(sorted(unused))}, nor has {muxer}; see "
                f"`ffmpeg -h encoder={encoder.name}` and `ffmpeg -h muxer={muxer}`"
            )
        self.notes += notes(heard, encoder.name)

    def _encoded(self, video: VideoStream, first: VideoFrame, encoder: Encoder) -> VideoStream:
        if not holds(self.container, encoder.codec):
            raise self._cannot_hold(encoder, first)
        encoder.check(first.format, self.container)
        location = chroma_location(first)
        y4m = self.container.format.name == Y4M
        if y4m and location == UNKNOWN:
            location = "left"  # as all take it for; FFmpeg's muxer would say center
        options = {} if location == UNKNOWN else {"chroma_sample_location": location}
        if encoder.name == "libx265":
            # the other encoders that can keep closed captions do so by themselves
            options["a53cc"] = "1"
        options |= encoder.options
        told = {encoder.name, self.container.format.name} & set(TELL_LOCATION)
        named = y4m and first.format.name == "yuv420p" and location in IN_Y4M
        named = named or (encoder.codec == "mjpeg" and location == "center")
        if location not in (UNKNOWN, "left") and not (told or named):
            self.dropped.append(f"chroma sample location {location}")
        try:
            added = self.container.add_stream(encoder.name, rate=self._rate, options=options)
        except ValueError:  # of the muxers that say what they hold
            raise self._cannot_hold(encoder, first) from None
        stream = cast(VideoStream, added)
        context = stream.codec_context
        context.width, context.height = first.width, first.height
        context.pix_fmt = first.format.name
        context.time_base = self._base
        # as FFmpeg's own: PyAV asks for slices, which cost libx264 up to a tenth more bits
        context.thread_type = "AUTO"
        context.thread_count = encoder.threads
        stream.time_base = self._base
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            setattr(context, name, getattr(first, name))
        if video.sample_aspect_ratio:
            context.sample_aspect_ratio = video.sample_aspect_ratio
        if encoder.codec == "hevc" and self.container.format.name in ("mp4", "mov"):
            # FFmpeg's own, hev1, is refused by Apple's players
            context.codec_tag = "hvc1"
        context.flags |= Flags.frame_duration
        self._weaves = first.interlaced_frame
        if self._weaves:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        matrix = side_data(first, Type.DISPLAYMATRIX)
        if matrix is not None:
            stream.set_display_matrix(np.frombuffer(memoryview(matrix), np.int32)[:9].tolist())
        _describe(stream, video)
        if any(component.is_alpha for component in first.format.components):
            return stream
        if any(key.lower() == "alpha_mode" for key in video.metadata):
            # what says that there is a second picture, which no decoder of PyAV shows
            self.dropped.append("transparency")
            for key in [key for key in stream.metadata if key.lower() == "alpha_mode"]:
                del stream.metadata[key]
        return stream

    def _copy(self, stream: Stream) -> None:
        # of pictures without a decoder, PyAV knows no name
        named = f", {name}" if (name := getattr(stream, "name", None)) else ""
        label = f"stream {stream.index} ({stream.type}{named})"
        matroska = self.container.format.name == "matroska"
        if stream.type in ("data", "unknown") or (stream.type == "attachment" and not matroska):
            if not self._written_anew(stream):
                self.dropped.append(label)
            return
        if self.container.format.name in ONLY:
            self.dropped.append(f"{label}: not possible in {self.container.format.name}")
            return
        # a stream without a decoder has no context
        context = stream.codec_context
        if context is not None and not copies(self.container, stream.type, context.codec.canonical_name):
            self.dropped.append(f"{label}: not possible in {self.container.format.name}")
            return
        if isinstance(context, AudioCodecContext) and not context.sample_rate:
            self.dropped.append(f"{label}: no sample rate was found")
            return
        try:
            copy = self.container.add_stream_from_template(stream, opaque=True)
        except ValueError:
            self.dropped.append(f"{label}: not possible in {self.container.format.name}")
            return
        if isinstance(context, AudioCodecContext) and (guess := layout_of(context)):
            cast(AudioCodecContext, copy.codec_context).layout = guess
        _describe(copy, stream)
        self._copies[stream.index] = copy
        self._clocks[stream.index] = CopyClock(self._path, self._start_at)
        if stream.type == "video" and not stream.disposition & Disposition.attached_pic:
            self.notes.append(f"{label} is another video, copied as it is")

    def _written_anew(self, stream: Stream) -> bool:
        """Whether the muxer makes this track itself: of chapters, or of the time code in a tag."""
        if getattr(stream, "name", None) == "bin_data" and self._chapters:
            return True
        # the muxer looks for the tag at the pictures and the file, not at the track
        tagged = "timecode" in self._tagged and "timecode" in stream.metadata
        return tagged and self.container.format.name in ("mov", "mp4")

    def write(self, item: VideoFrame | Packet[Any]) -> None:
        """Encode a frame, or copy a packet of another stream (or drop it, where its stream is dropped)."""
        if isinstance(item, VideoFrame):
            # broadcasts start with frames that have none
            if self._captions_lost and side_data(item, Type.A53_CC) is not None:
                self.dropped.append("closed captions")
                self._captions_lost = False
            if item.interlaced_frame and not self._weaves:
                self.notes.append(
                    "the first frame is progressive and later ones are not: they were encoded as progressive"
                )
                self._weaves = True
            item.pict_type = 0
            self._clock.set(item)
            self._frames += 1
            self.container.mux(self._stream.encode(item))
        elif item.stream.index in self._copies:
            copy = self._copies[item.stream.index]
            self._clocks[item.stream.index].set(item, copy.time_base or item.time_base)
            item.stream = copy
            self.container.mux(item)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        packets = self._stream.encode(None)
        if self._stream.codec_context.name == "libx265" and self._frames <= X265_DELAY:
            # it reads the delay from memory that it sets at the next frame only; none overtakes another here
            for packet in packets:
                packet.dts = packet.pts
        self.container.mux(packets)
        kept = keeps_times(self.container, self._stream.codec_context.has_b_frames)
        if self._clock.moved or (self._clock.uneven and not kept):
            self.dropped.append("the times of the frames, which are not evenly apart")

    def check(self, written: Path, target: Path) -> None:
        """Look into the file, which is closed by now, for what the encoder and the muxer left out.

        Raises:
            UserError: nothing can be read back; names `target`, which `written` becomes.
        """
        self.dropped += lost_in(written, self._asked, target)


def layout_of(context: AudioCodecContext) -> str | None:
    """The usual places of as many channels, where the clip does not say which they are; else None."""
    # raw samples in AVI, MXF and Matroska; MP4 asks for places, and ffmpeg takes these
    unknown = UNPLACED.fullmatch(context.layout.name)
    return USUAL.get(int(unknown[1])) if unknown else None


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.lower() not in OWN_TAGS}


def _describe(target: Stream, source: Stream) -> None:
    tags = _tags(source.metadata)
    if "name" in tags and "title" not in tags:
        # MP4's demuxer and its muxer have two words for it
        tags["title"] = tags.pop("name")
    target.metadata.update(tags)
    target.disposition = source.disposition
