"""Impairments of user-made video, in the order in which they arise: optics, motion, exposure, sensor
noise, resizing, encoding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from vmaf_train.camera import Frames, add_grain
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import BITEXACT, grey_video, run_ffmpeg
from vmaf_train.video import iterate_luma

# codec -> encoder settings (one thread, nothing of the machine in the file), then the name of the
# quality setting and its values from the best to the worst rung of the ladder
CODECS: dict[str, tuple[dict[str, Any], str, int, int]] = {
    "x264": ({"vcodec": "libx264", "preset": "veryfast"}, "crf", 14, 46),
    "x265": (
        {
            "vcodec": "libx265",
            "preset": "ultrafast",
            "x265-params": "log-level=error:pools=none:frame-threads=1:info=0",
        },
        "crf",
        14,
        50,
    ),
    "vp9": ({"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8, "b:v": 0}, "crf", 32, 63),
    "av1": ({"vcodec": "libsvtav1", "preset": 11, "svtav1-params": "lp=1"}, "crf", 32, 63),
    "mpeg4": ({"vcodec": "mpeg4"}, "q:v", 2, 31),
}
FPS = 24  # of the earlier encode, whose frames alone count
CODEC_ODDS = {"x264": 0.55, "x265": 0.18, "mpeg4": 0.14, "vp9": 0.07, "av1": 0.06}
# what is done to a clip; `codec`: nothing but the encoding
DAMAGE_ODDS = {
    "codec": 0.46, "resize": 0.17, "defocus": 0.12, "noise": 0.12, "mixed": 0.06, "motion": 0.04,
    "exposure": 0.03,
}  # fmt: skip
MIXED = ("resize", "defocus", "noise", "motion")
# of the copies that were touched up: grain alone, grain at all; the others were sharpened
GRAIN_ALONE, GRAIN = 0.6, 0.7
FACTORS = (1.5, 2.0, 2.0, 2.5, 3.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Impairment:
    """What is done to a clip; zeros (and factor 1, gain 1) do nothing.

    `defocus`: sigma, pixels. `motion`: length of the smear, pixels, along `angle`, radians. `gain`:
    factor on luma above black. `noise`: standard deviation, code values. `factor`: both sides are
    divided by it; the file keeps the reduced size unless `enlarged`. `quality`: crf or q of `codec`.
    `earlier`: the codec of an encode before, at `earlier_quality`, after which came `sharpening` (percent of
    an unsharp mask) and `grain` (standard deviation, code values).
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
    earlier: str = ""
    earlier_quality: int = 0
    sharpening: int = 0
    grain: float = 0.0


def draw_plans(rng: np.random.Generator, variants: int, share: float) -> list[Impairment]:
    """Draw what is done to one scene: each impairment has a rung of its own on the ladder of strengths.

    The last `share` of them are copies that were encoded before and then touched up: grain and sharpening
    hide what an encoder took, and do not bring it back.
    """
    touched_up = int(variants * share + 1e-9)  # 5 times 0.2 is one
    plans = [draw_impairment(rng, rung) for rung in _rungs(rng, variants - touched_up)]
    return plans + [draw_touched_up(rng, rung) for rung in _rungs(rng, touched_up)]


def _rungs(rng: np.random.Generator, count: int) -> list[float]:
    """Strengths in 0..1, one of each `count`th part, in any order."""
    return [float(rung) for rung in (rng.permutation(count) + rng.random(count)) / count]


def draw_impairment(rng: np.random.Generator, strength: float) -> Impairment:
    """An impairment of one strength, 0 (hardly visible) to 1; the encoder's part is small where it is
    not the damage itself."""
    damage = _pick(rng, DAMAGE_ODDS)
    codec = _pick(rng, CODEC_ODDS)
    _, _, best, worst = CODECS[codec]
    light = _light(rng)
    coding = {"codec": strength, "resize": 0.75 * strength, "mixed": 0.6 * strength}.get(damage, light)
    damages = {damage} if damage != "mixed" else {str(one) for one in rng.choice(MIXED, 2, replace=False)}
    exposure = (0.05 + 0.5 * strength) * (1 if rng.random() < 0.4 else -1)
    angle = rng.uniform(0, np.pi)
    factor = float(rng.choice(FACTORS))
    return Impairment(
        codec=codec,
        quality=round(best + (worst - best) * coding),
        defocus=round(0.4 + 2.6 * strength, 3) if "defocus" in damages else 0.0,
        motion=round(2 + 14 * strength) if "motion" in damages else 0,
        angle=round(angle, 3),
        gain=round(float(np.exp(exposure)), 3) if "exposure" in damages else 1.0,
        noise=round(2 + 26 * strength, 3) if "noise" in damages else 0.0,
        factor=factor if "resize" in damages else 1.0,
        enlarged=bool(rng.random() < 0.25),
    )


def draw_touched_up(rng: np.random.Generator, strength: float) -> Impairment:
    """An encode of one strength, then grain, sharpening or both, then an encode that is mostly light."""
    codec, earlier = _pick(rng, CODEC_ODDS), _pick(rng, CODEC_ODDS)
    _, _, best, worst = CODECS[codec]
    _, _, finest, coarsest = CODECS[earlier]
    kind = rng.random()
    return Impairment(
        codec=codec,
        quality=round(best + (worst - best) * _light(rng)),
        earlier=earlier,
        earlier_quality=round(finest + (coarsest - finest) * strength),
        sharpening=round(rng.uniform(20, 150)) if kind > GRAIN_ALONE else 0,
        grain=round(float(rng.uniform(1, 10)), 3) if kind < GRAIN else 0.0,
    )


def _light(rng: np.random.Generator) -> float:
    """Strength of an encode that is not the damage itself: mostly hardly visible."""
    return float(rng.uniform(0, 0.25 if rng.random() < 0.6 else 0.7))


def _pick(rng: np.random.Generator, odds: dict[str, float]) -> str:
    return str(rng.choice(list(odds), p=list(odds.values())))


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
    return _touched_up(clip, impairment, rng) if impairment.earlier else clip


def _touched_up(clip: Frames, impairment: Impairment, rng: np.random.Generator) -> Frames:
    """A clip after an earlier encode, sharpened and with grain."""
    first = Impairment(codec=impairment.earlier, quality=impairment.earlier_quality)
    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
        path = Path(folder) / "earlier.mp4"
        encode(clip, first, FPS, path)
        clip = np.stack([luma for _, luma in iterate_luma(path, threads=1)])
    if impairment.sharpening:
        mask = ImageFilter.UnsharpMask(2, impairment.sharpening, 0)
        clip = np.stack([np.asarray(Image.fromarray(frame).filter(mask)) for frame in clip])
    return add_grain(clip, impairment.grain, rng)


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
    encode_together([(clip, impairment, path)], fps)


def encode_together(jobs: Iterable[tuple[Frames, Impairment, Path]], fps: int) -> None:
    """`encode` several clips by one process, whose start costs as much as a third of the encoding.

    Raises:
        UserError: ffmpeg refuses, or the disk is full.
    """
    import ffmpeg

    outputs, names = [], []
    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
        for clip, impairment, path in jobs:
            settings, scale, _, _ = CODECS[impairment.codec]
            source = Path(folder) / f"{path.stem}.yuv"
            raw, data = grey_video(clip, fps, str(source))
            try:
                source.write_bytes(data)
            except OSError as error:
                where = Path(folder).parent
                raise UserError(
                    f"encoding {path.name}: {error.strerror} in {where}; free some disk space there"
                ) from None
            options = {**settings, scale: impairment.quality, **BITEXACT}
            # the input's video by name: unasked, every output would get the largest of all inputs
            outputs.append(raw.video.output(str(path), pix_fmt="yuv420p", **options))
            names.append(path.name)
        run_ffmpeg(ffmpeg.merge_outputs(*outputs), what=f"encoding {', '.join(names)}")
