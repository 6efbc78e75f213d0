"""Encoders: what one takes, and a name that leads on when it does not. The files are in test_filter.py."""

from __future__ import annotations

import os
from fractions import Fraction

import pytest

from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError


@pytest.mark.parametrize("name", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_the_encoders_that_the_help_names_take_8_bit_420(name: str) -> None:
    Encoder(name).check_format("yuv420p")


def test_an_unknown_encoder_is_named_with_known_ones() -> None:
    with pytest.raises(UserError, match=r"no video encoder 'libx246'.*try libx264"):
        Encoder("libx246").pixel_formats()


def test_an_encoder_of_sound_is_no_encoder_here() -> None:
    with pytest.raises(UserError, match="no video encoder 'aac'"):
        Encoder("aac").pixel_formats()


def test_a_format_that_is_refused_names_an_encoder_that_takes_it() -> None:
    with pytest.raises(UserError, match=r"libsvtav1 does not take yuv444p; use --encoder libx264 or libx265"):
        Encoder("libsvtav1").check_format("yuv444p")


def test_an_encoder_that_knows_frame_rates_only_counts_frames() -> None:
    base, rate = Fraction(1, 90000), Fraction(30000, 1001)
    for name in ("mpeg1video", "mpeg2video", "mpeg4"):
        assert Encoder(name).time_base(base, rate) == Fraction(1001, 30000)
    for name in ("libx264", "libx265", "libsvtav1", "ffv1"):
        assert Encoder(name).time_base(base, rate) == base
    assert Encoder("mpeg4").time_base(Fraction(1, 1000), rate) == Fraction(1, 1000)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "log-level=error"),
        ("keyint=10", "keyint=10:log-level=error"),
        ("log-level=none:keyint=10", "log-level=none:keyint=10"),
        ("keyint=10:log=full", "keyint=10:log=full"),
        ("analysis-log=1", "analysis-log=1:log-level=error"),
    ],
)
def test_libx265_prints_errors_only_unless_its_parameters_say_how_much(given: str | None, used: str) -> None:
    options = {"crf": "20"} | ({} if given is None else {"x265-params": given})
    assert Encoder("libx265", options).quiet().options == {"crf": "20", "x265-params": used}
    assert Encoder("libx264", options).quiet().options == options


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_svt_av1_prints_errors_only_unless_the_environment_says_how_much(
    monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    # set first, so that it is put back after the test
    monkeypatch.setenv("SVT_LOG", given or "")
    if given is None:
        monkeypatch.delenv("SVT_LOG")
    Encoder("libsvtav1").quiet()
    assert os.environ["SVT_LOG"] == used


def test_mpeg4_keeps_as_many_ticks_a_second_as_16_bits_hold() -> None:
    rate = Fraction(25)
    assert Encoder("mpeg4").time_base(Fraction(1, 65535), rate) == Fraction(1, 65535)
    assert Encoder("mpeg4").time_base(Fraction(1, 65536), rate) == Fraction(1, 25)
