"""Times of frames on their way from the decoder to the encoder."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from vmaf_train.errors import UserError
from vmaf_train.times import Clock, CopyClock, DecodedTime, ShownOrder, order_of

TICK = Fraction(1, 1000)


def frame_at(pts: int | None, duration: int = 0) -> av.VideoFrame:
    frame = av.VideoFrame(2, 2, "yuv420p")
    frame.pts, frame.time_base, frame.duration = pts, TICK, duration
    return frame


def packet_at(pts: int, dts: int) -> av.Packet:
    packet = av.Packet(b"a picture")
    packet.pts, packet.dts = pts, dts
    return packet


def test_frames_in_the_order_of_showing_get_the_times_of_decoding_one_after_the_other() -> None:
    order = ShownOrder()
    # decoded: I P B B, and the container took the order of decoding for that of showing
    for index in range(4):
        order.decode(packet_at(pts=40 * (index + 1), dts=40 * index))
    order.decode(av.Packet(b""))
    shown = [frame_at(pts) for pts in (40, 120, 160, 80)]
    for frame in shown:
        order.show(frame, depth=2)
    assert [frame.pts for frame in shown] == [0, 40, 80, 120]


def test_packets_that_gave_no_frame_do_not_delay_all_later_ones() -> None:
    order = ShownOrder()
    for index in range(10):
        order.decode(packet_at(pts=40 * index, dts=40 * index))
    late = frame_at(360)
    order.show(late, depth=2)
    assert late.pts == 280


def test_a_frame_that_no_packet_announced_has_no_time() -> None:
    frame = frame_at(5)
    ShownOrder().show(frame, depth=0)
    assert frame.pts is None


def test_packed_pictures_get_the_times_of_decoding_and_the_last_ones_keep_theirs() -> None:
    order, frames = DecodedTime(), [frame_at(pts) for pts in (80, 160, 120, 200)]
    for frame, dts in zip(frames, (80, 120, 160, None), strict=True):
        frame.dts = dts
        order.show(frame, depth=1)
    assert [frame.pts for frame in frames] == [80, 120, 160, 200]


def test_only_avi_and_codecs_that_reorder_need_help() -> None:
    assert isinstance(order_of("avi", "h264"), ShownOrder)
    assert isinstance(order_of("avi", "mpeg4"), DecodedTime)
    for container, codec in (("avi", "msmpeg4"), ("avi", "mpeg2video"), ("matroska,webm", "mpeg4")):
        assert order_of(container, codec) is None


def test_times_are_kept_where_both_time_bases_are_the_same() -> None:
    clock = Clock(TICK, Fraction(25), "in.mp4")
    frames = [frame_at(pts, 40) for pts in (-7, 33, 100)]
    for frame in frames:
        clock.set(frame)
    assert [(frame.pts, frame.duration) for frame in frames] == [(-7, 40), (33, 40), (100, 40)]


def test_a_time_that_is_not_above_the_last_one_is_raised_by_one_tick() -> None:
    clock = Clock(TICK, Fraction(25), "in.mp4")
    frames = [frame_at(pts) for pts in (0, 40, 40, 20, 80)]
    for frame in frames:
        clock.set(frame)
    assert [frame.pts for frame in frames] == [0, 40, 41, 42, 80]


def test_times_that_start_anew_are_refused_and_not_squeezed_into_ticks() -> None:
    clock = Clock(TICK, Fraction(25), "in.mp4")
    clock.set(frame_at(600))
    clock.set(frame_at(101))
    with pytest.raises(UserError, match=r"in\.mp4: times jump back by 0\.6 s"):
        clock.set(frame_at(0))


def test_frames_without_a_time_follow_by_the_frame_rate() -> None:
    clock = Clock(TICK, Fraction(25), "in.mp4")
    frames = [frame_at(pts) for pts in (None, None, 100, None)]
    for frame in frames:
        clock.set(frame)
    assert [frame.pts for frame in frames] == [0, 40, 100, 140]


def test_a_time_base_of_one_frame_rounds_times_to_frames_and_keeps_them_apart() -> None:
    clock = Clock(Fraction(1, 25), Fraction(25), "in.mp4")
    frames = [frame_at(pts, 40) for pts in (0, 41, 79, 90, 160)]
    for frame in frames:
        clock.set(frame)
    assert [frame.pts for frame in frames] == [0, 1, 2, 3, 4]
    assert {(frame.duration, frame.time_base) for frame in frames} == {(1, Fraction(1, 25))}


@pytest.mark.parametrize(
    ("times", "uneven"),
    [
        ([0, 33, 67, 100], False),
        ([1000, 1033, 1067], False),
        ([0, 33, 100, 133], False),
        ([0, 33, 133, 167], True),
        ([0, 33, 34, 35], True),
        ([0], False),
    ],
)
def test_times_that_a_rate_alone_does_not_tell_are_known(times: list[int], uneven: bool) -> None:
    clock = Clock(TICK, Fraction(30), "in.mp4")
    for time in times:
        clock.set(frame_at(time))
    assert clock.uneven == uneven


def test_times_that_are_rounded_to_frames_are_known_to_have_been_uneven() -> None:
    steady, uneven = Clock(Fraction(1, 25), Fraction(25), "a"), Clock(Fraction(1, 25), Fraction(25), "b")
    for one, other in ((0, 0), (41, 40), (80, 141)):
        steady.set(frame_at(one))
        uneven.set(frame_at(other))
    assert (steady.uneven, uneven.uneven) == (False, True)
    # frames that are nearer than a tick are moved; a gap is not
    near, gap = Clock(Fraction(1, 25), Fraction(25), "a"), Clock(Fraction(1, 25), Fraction(25), "b")
    for one, other in ((0, 0), (40, 40), (45, 400), (50, 440)):
        near.set(frame_at(one))
        gap.set(frame_at(other))
    assert (near.moved, gap.moved, gap.uneven) == (True, False, True)


def test_frames_without_a_time_before_the_first_with_one_count() -> None:
    clock = Clock(TICK, Fraction(25), "a")
    for time in (None, None, 80, 120):
        clock.set(frame_at(time))
    assert not clock.uneven


def test_a_start_that_the_container_cannot_tell_becomes_zero() -> None:
    clock = Clock(TICK, Fraction(25), "clip", Fraction(3600))
    frames = [frame_at(3_600_000 + 40 * index) for index in range(3)]
    for frame in frames:
        clock.set(frame)
    assert [frame.pts for frame in frames] == [0, 40, 80]


def copied(clock: CopyClock, *times: tuple[int, int], tick: Fraction = TICK) -> list[tuple[int, int]]:
    given = []
    for pts, dts in times:
        packet = packet_at(pts, dts)
        packet.time_base = TICK
        clock.set(packet, tick)
        given.append((packet.pts, packet.dts))
    return given


def test_copied_packets_keep_their_times_but_for_the_start() -> None:
    times = [(0, 0), (21, 21), (21, 21), (64, 43)]
    assert copied(CopyClock("clip"), *times) == times
    later = copied(CopyClock("clip", Fraction(2)), *((pts + 2000, dts + 2000) for pts, dts in times))
    assert later == times


def test_a_copied_packet_that_steps_back_a_little_follows_the_one_before_by_a_tick_of_the_output() -> None:
    assert copied(CopyClock("clip"), (100, 100), (97, 97), (121, 121)) == [(100, 100), (101, 101), (121, 121)]
    # a tick of the output is three of the input's
    assert copied(CopyClock("clip"), (100, 100), (97, 97), tick=3 * TICK)[1] == (103, 103)


def test_sound_of_joined_clips_is_told_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"^clip: times jump back by 1\.9 s, .*ffmpeg -i IN"):
        copied(CopyClock("clip"), (2000, 2000), (100, 100))
