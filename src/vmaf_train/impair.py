"""Impairments of user-made video, in the order in which they arise: optics, motion, exposure, sensor
noise, resizing, encoding. The label is VMAF of the impaired clip against the pristine one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from vmaf_train.camera import Frames, add_grain
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import BITEXACT, run_ffmpeg

# codec -> encoder settings (one thread, nothing of the machine in the file), then the name of the
# quality setting and its values from the best to the worst rung of the ladder
CODECS: dict[str, tuple[dict[str, Any], str, int, int]] = {
    "x264": ({"vcodec": "libx264", "preset": "veryfast"}, "crf", 16, 46),
    "x265": (
        {
            "vcodec": "libx265",
            "preset": "ultrafast",
            "x265-params": "log-level=error:pools=none:frame-threads=1:info=0",
        },
        "crf",
        16,
        50,
    ),
    "vp9": ({"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8, "b:v": 0}, "crf", 32, 63),
    "av1": ({"vcodec": "libsvtav1", "preset": 11, "svtav1-params": "lp=1"}, "crf", 32, 63),
    "mpeg4": ({"vcodec": "mpeg4"}, "q:v", 2, 31),
}
# VMAF of LOW_VMAF and below is MOS 1, of 100 is MOS 5
LOW_VMAF = 20.0
# VMAF of each codec's worst setting at full size: below it, a smaller picture goes with the codec
LAST_RUNG = {"x264": 0.0, "x265": 0.0, "vp9": 72.0, "av1": 72.0, "mpeg4": 62.0}
VMAF_MODEL = "vmaf_v0.6.1"
CODEC_ODDS = {"x264": 0.42, "x265": 0.2, "vp9": 0.13, "av1": 0.1, "mpeg4": 0.15}
DAMAGE_ODDS = {"none": 0.4, "defocus": 0.14, "motion": 0.06, "exposure": 0.05, "noise": 0.15, "resize": 0.2}


@dataclass(frozen=True, kw_only=True)
class Impairment:
    """What is done to a clip; zeros (and factor 1, gain 1) do nothing.

    `defocus`: sigma, pixels. `motion`: length of the smear, pixels, along `angle`, radians. `gain`:
    factor on luma above black. `noise`: standard deviation, code values. `factor`: both sides are
    divided by it; the file keeps the reduced size unless `enlarged`. `quality`: crf or q of `codec`.
    """

    codec: str
    quality: int
    defocus: float = 0.0
    motion: int = 0
    angle: float = 0.0
    gain: float = 1.0
    noise: float = 0.0
    factor: float = 1.0
    enlarged: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A family of impairments, from weak to strong, and the VMAF wanted of it.

    `coding` is the encoder's part in the damage, 0..1; `factor` 1 resizes nothing.
    """

    target: float
    codec: str
    damages: frozenset[str]
    coding: float
    angle: float
    brighter: bool
    factor: float
    enlarged: bool

    def at(self, strength: float) -> Impairment:
        """The impairment of one strength, 0..1."""
        _, _, best, worst = CODECS[self.codec]
        exposure = (0.05 + 0.5 * strength) * (1 if self.brighter else -1)
        return Impairment(
            codec=self.codec,
            quality=round(best + (worst - best) * strength * self.coding),
            defocus=round(0.4 + 2.4 * strength, 3) if "defocus" in self.damages else 0.0,
            motion=round(2 + 14 * strength) if "motion" in self.damages else 0,
            angle=round(self.angle, 3),
            gain=round(float(np.exp(exposure)), 3) if "exposure" in self.damages else 1.0,
            noise=round(1 + 35 * strength, 3) if "noise" in self.damages else 0.0,
            factor=self.factor,
            enlarged=self.enlarged,
        )


def draw_plans(rng: np.random.Generator, variants: int) -> list[Impairment | Plan]:
    """Draw what is done to one scene: a nearly invisible impairment, then plans over a wide ladder.

    Each plan has a rung of its own between VMAF 20 and 100, so the clips of a scene differ; and a
    wanted VMAF, not a drawn CRF, keeps what a scene shows from telling its score.
    """
    light = Impairment(codec=str(rng.choice(["x264", "x265"])), quality=int(rng.integers(13, 27)))
    rungs = (rng.permutation(variants - 1) + rng.random(variants - 1)) / max(variants - 1, 1)
    return [light, *(_draw_plan(rng, 96 - 82 * float(rung)) for rung in rungs)]


def _draw_plan(rng: np.random.Generator, target: float) -> Plan:
    damages = {_pick(rng, DAMAGE_ODDS)}
    if rng.random() < 0.2:
        damages.add(_pick(rng, DAMAGE_ODDS))
    damages.discard("none")
    codec = _pick(rng, CODEC_ODDS)
    if not damages and target < LAST_RUNG[codec]:
        damages.add("resize")
    factors = [1.5, 2.0, 3.0] if target < 75 else [1.5, 2.0]
    return Plan(
        target=target,
        codec=codec,
        damages=frozenset(damages),
        coding=1.0 if damages <= {"resize"} else float(rng.random()),
        angle=rng.uniform(0, np.pi),
        brighter=bool(rng.random() < 0.3),
        factor=float(rng.choice(factors)) if "resize" in damages else 1.0,
        enlarged=bool(rng.random() < 0.3),
    )


def _pick(rng: np.random.Generator, odds: dict[str, float]) -> str:
    return str(rng.choice(list(odds), p=list(odds.values())))


def reach(
    plan: Plan, measure: Callable[[Impairment], float], *, tolerance: float = 8.0, tries: int = 3
) -> tuple[Impairment, float]:
    """Find the strength at which `measure` (VMAF) comes near the plan's target; return the last one tried.

    False position between a weakest impairment, taken for 100, and a strongest, taken for 10.
    """
    weak, weak_value, strong, strong_value = 0.0, 100.0, 1.0, 10.0
    for left in reversed(range(tries)):
        share = (weak_value - plan.target) / max(weak_value - strong_value, 1.0)
        strength = weak + (strong - weak) * min(max(share, 0.1), 0.9)
        impairment = plan.at(strength)
        value = measure(impairment)
        if abs(value - plan.target) <= tolerance or not left:
            break
        if value > plan.target:
            weak, weak_value = strength, value
        else:
            strong, strong_value = strength, value
    return impairment, value


def damage(clip: Frames, impairment: Impairment, rng: np.random.Generator) -> Frames:
    """Everything that happens before the encoder: uint8 luma (frames, height, width), maybe smaller."""
    if impairment.defocus:
        blur = ImageFilter.GaussianBlur(impairment.defocus)
        clip = np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in clip])
    if impairment.motion:
        clip = _smear(clip, impairment.motion, impairment.angle)
    if impairment.gain != 1.0:
        codes = 16 + (np.arange(256) - 16) * impairment.gain
        clip = np.clip(codes + 0.5, 0, 255).astype(np.uint8)[clip]
    clip = add_grain(clip, impairment.noise, rng)
    if impairment.factor != 1.0:
        height, width = clip.shape[1:]
        small = (_even(width / impairment.factor), _even(height / impairment.factor))
        clip = _resized(clip, small)
        if impairment.enlarged:
            clip = _resized(clip, (width, height))
    return clip


def _smear(clip: Frames, length: int, angle: float) -> Frames:
    """The mean of the picture shifted along a straight line: motion blur."""
    steps = np.arange(length) - (length - 1) / 2
    shifts = sorted({(round(s * np.sin(angle)), round(s * np.cos(angle))) for s in steps})
    reach = max(max(abs(y), abs(x)) for y, x in shifts)
    height, width = clip.shape[1:]
    padded = np.pad(clip, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    total = np.zeros(clip.shape, np.uint32)
    for y, x in shifts:
        total += padded[:, reach + y : reach + y + height, reach + x : reach + x + width]
    smeared: Frames = ((total + len(shifts) // 2) // len(shifts)).astype(np.uint8)
    return smeared


def _resized(clip: Frames, size: tuple[int, int]) -> Frames:
    bicubic = Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, bicubic)) for frame in clip])


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))


def encode(clip: Frames, impairment: Impairment, fps: int, path: Path) -> None:
    """Encode luma frames (grey: flat chroma) to an MP4 file; the same frames give the same bytes.

    Raises:
        UserError: ffmpeg refuses, or the disk is full.
    """

    settings, scale, _, _ = CODECS[impairment.codec]
    raw = _raw_input(clip, fps)
    output = raw.output(str(path), pix_fmt="yuv420p", **settings, **{scale: impairment.quality}, **BITEXACT)
    run_ffmpeg(output, what=f"encoding {path.name}", data=yuv420(clip))


def yuv420(clip: Frames) -> bytes:
    """Raw yuv420p bytes of luma frames with even sides, chroma flat."""
    chroma = bytes([128]) * (clip.shape[1] * clip.shape[2] // 2)
    return b"".join(frame.tobytes() + chroma for frame in clip)


def _raw_input(clip: Frames, fps: int) -> Any:
    import ffmpeg

    size = f"{clip.shape[2]}x{clip.shape[1]}"
    return ffmpeg.input("pipe:", format="rawvideo", pix_fmt="yuv420p", s=size, framerate=fps)


def vmaf(path: Path, pristine: Frames, fps: int) -> float:
    """Mean VMAF (0..100) of a clip against uint8 luma (frames, height, width).

    A smaller clip is enlarged with bicubic interpolation first, as a player would.

    Raises:
        UserError: ffmpeg cannot read the clip, or the clip has fewer frames.
    """
    import ffmpeg

    report = _vmaf_report(ffmpeg.input(str(path), threads=1), pristine, fps, f"measuring VMAF of {path.name}")
    if len(report["frames"]) != len(pristine):
        raise UserError(
            f"measuring VMAF of {path.name}: {len(report['frames'])} frames of {len(pristine)}; "
            "free some disk space and run again"
        )
    return float(report["pooled_metrics"]["vmaf"]["mean"])


def libvmaf_version() -> str:
    """What libvmaf calls its version in its reports."""
    import ffmpeg

    grey = ffmpeg.input("color=gray:s=64x64:r=1:d=1", format="lavfi").filter("format", "yuv420p")
    report = _vmaf_report(grey, np.full((1, 64, 64), 126, np.uint8), 1, "asking libvmaf for its version")
    return str(report["version"])


def _vmaf_report(shown: Any, pristine: Frames, fps: int, what: str) -> dict[str, Any]:
    import ffmpeg

    height, width = pristine.shape[1:]
    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
        log = Path(folder) / "vmaf.json"
        enlarged = shown.filter("scale", width, height, flags="bicubic+bitexact")
        pair = [_renumbered(enlarged, fps), _renumbered(_raw_input(pristine, fps), fps)]
        options = {"model": f"version={VMAF_MODEL}", "log_fmt": "json", "n_threads": 1}
        measured = ffmpeg.filter(pair, "libvmaf", log_path=str(log), **options)
        run_ffmpeg(ffmpeg.output(measured, "pipe:", format="null"), what=what, data=yuv420(pristine))
        try:
            report: dict[str, Any] = json.loads(log.read_text())
        except (OSError, ValueError):
            raise UserError(
                f"{what}: libvmaf left no whole report; free some space in {Path(folder).parent}"
            ) from None
    return report


def _renumbered(stream: Any, fps: int) -> Any:
    # containers round time stamps, and libvmaf pairs frames by them
    return stream.filter("settb", f"1/{fps}").filter("setpts", "N")


def vmaf_to_mos(value: float) -> float:
    """Map VMAF 20..100 linearly to MOS 1..5; less is 1."""
    return float(np.clip(1 + 4 * (value - LOW_VMAF) / (100 - LOW_VMAF), 1, 5))
