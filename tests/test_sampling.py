"""Area and fragments: how a frame becomes what a metric takes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from vmaf_train.luma import area_resize, area_weights
from vmaf_train.sampling import (
    FRAGMENT,
    directions,
    fragment_lines,
    fragment_places,
    fragments,
    shown_size,
)

SHAPES = [(540, 960), (1080, 1920), (720, 1280), (270, 480), (480, 854), (1920, 1080), (97, 541), (1, 1)]


def textured(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width), np.uint8)


def test_fragments_are_pixels_of_the_frame_in_their_order() -> None:
    down, across = np.mgrid[:540, :960]
    rows, columns = (fragments(axis.astype(np.uint16), 224)[0] for axis in (down, across))
    assert rows.shape == columns.shape == (224, 224)
    squares = rows.reshape(14, FRAGMENT, 14, FRAGMENT), columns.reshape(14, FRAGMENT, 14, FRAGMENT)
    for i in range(14):
        for j in range(14):
            y, x = squares[0][i, :, j], squares[1][i, :, j]
            assert (np.diff(y, axis=0) == 1).all()
            assert (np.diff(x, axis=1) == 1).all()
            # each in its own part of the frame
            assert i * 540 // 14 <= y[0, 0] <= y[-1, 0] < (i + 1) * 540 // 14
            assert j * 960 // 14 <= x[0, 0] <= x[0, -1] < (j + 1) * 960 // 14


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("length", [224, 225, 540, 1080])
def test_no_line_is_read_twice_and_none_outside_the_frame(length: int, place: float) -> None:
    lines = fragment_lines(length, 224, place)
    assert len(set(lines)) == 224
    assert lines[0] >= 0
    assert lines[-1] < length


def test_where_fragments_fill_the_length_each_line_is_read_at_every_place() -> None:
    assert np.array_equal(fragment_lines(32, 32, 0.7), np.arange(32))


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ((540, 960), (540, 960)),
        ((1080, 1920), (540, 960)),
        ((2160, 3840), (540, 960)),
        ((270, 480), (540, 960)),
        ((1920, 1080), (960, 540)),
        # a slight resize would only blur
        ((480, 854), (480, 854)),
        ((576, 1024), (576, 1024)),
        ((10, 3000), (224, 12471)),
    ],
)
def test_frames_of_all_sizes_are_cut_as_if_shown_at_540_lines(
    frame: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert shown_size(*frame, 224) == shown


def test_a_larger_frame_is_shrunk_before_it_is_cut() -> None:
    frame = textured(1080, 1920)
    assert np.array_equal(fragments(frame, 224), fragments(area_resize(frame, 540, 960), 224))


def test_a_metrics_fragments_lie_in_the_middle_of_their_parts() -> None:
    # 540 lines in 14 parts, from 0, 38, 77, 115, ...: of 22 lines to spare 11 come first, of 23 it is 12
    assert fragment_lines(540, 224, 0.5)[::16].tolist() == [
        *(11, 50, 88, 127, 165, 204, 243, 281, 320, 358, 397, 435, 474, 513)
    ]


def test_places_begin_in_the_middle_and_differ() -> None:
    places = fragment_places(8)
    assert places[0] == (0.5, 0.5)
    assert all(0 <= where < 1 for place in places for where in place)
    frame = textured(540, 960)
    cuts = fragments(frame, 224, 8)
    assert cuts.shape == (8, 224, 224)
    assert len({cut.tobytes() for cut in cuts}) == 8
    assert np.array_equal(cuts[:1], fragments(frame, 224))
    assert fragments(frame, 224, 0).shape == (0, 224, 224)


@pytest.mark.parametrize("sampling", ["area", "fragments"])
@pytest.mark.parametrize("shape", SHAPES)
def test_directions_say_what_the_sampling_does_before_it_rounds(
    sampling: str, shape: tuple[int, int]
) -> None:
    frame = textured(*shape)
    down, across = directions(sampling, shape, (224, 224))
    read = frame.astype(np.float64)
    for axis, direction in enumerate((down, across)):
        if direction.picked is not None:
            read = np.take(read, direction.picked, axis)
        assert read.shape[axis] == direction.lines
        if direction.weights is not None:
            read = np.moveaxis(np.tensordot(np.float64(direction.weights), read, (1, axis)), 0, axis)
            whole = direction.weights * np.float64(direction.divisor)
            assert np.abs(whole - np.rint(whole)).max() < 1e-3
    wanted = area_resize(frame, 224, 224) if sampling == "area" else fragments(frame, 224)[0]
    # halves fall either way in float64
    assert np.abs(read - wanted).max() < 0.5 + 1e-3


@pytest.mark.parametrize(("source", "target"), [(480, 960), (1080, 540), (224, 224), (1, 720), (97, 231)])
def test_single_rows_of_the_weights_are_those_of_the_whole_matrix(source: int, target: int) -> None:
    lines = fragment_lines(target, 224, 0.5)
    assert np.array_equal(area_weights(source, target, lines), area_weights(source, target)[lines])


@pytest.mark.parametrize("shape", [(16, 8192), (16384, 2), (1, 16384)])
def test_extreme_shapes_need_no_whole_matrix_of_weights(shape: tuple[int, int]) -> None:
    tracemalloc.start()
    try:
        down, across = directions("fragments", shape, (224, 224))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert down.weights is not None
    assert across.weights is not None
    assert peak < 200e6


@pytest.mark.parametrize(("frame", "shown"), [((720, 1280), (540, 960)), ((1280, 720), (960, 540))])
def test_a_frame_of_720_lines_is_far_from_540_by_its_pixels(
    frame: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert shown_size(*frame, 224) == shown
