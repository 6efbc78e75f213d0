"""Impairments of user-made video, in the order in which they arise: optics, motion, exposure, sensor
noise, resizing, encoding. The label is VMAF of the impaired clip against the pristine one.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import BITEXACT, run_ffmpeg
from vmaf_train.scenes import Frames, add_grain

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
        46,
    ),
    "vp9": ({"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 6, "b:v": 0}, "crf", 16, 63),
    "av1": ({"vcodec": "libsvtav1", "preset": 10, "svtav1-params": "lp=1"}, "crf", 18, 63),
    "mpeg4": ({"vcodec": "mpeg4"}, "q:v", 2, 31),
}
# VMAF of LOW_VMAF and below is MOS 1, of 100 is MOS 5
LOW_VMAF = 20.0
DAMAGES = ("none", "defocus", "motion", "exposure", "noise", "resize")
DAMAGE_ODDS = (0.40, 0.14, 0.06, 0.06, 0.14, 0.20)


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


def draw_ladder(rng: np.random.Generator, variants: int) -> list[Impairment]:
    """Draw the impairments of one scene: the first nearly invisible, the others over a wide ladder."""
    light = str(rng.choice(["x264", "x265"]))
    ladder = [Impairment(codec=light, quality=int(rng.integers(14, 21)))]
    # one rung each, so that the clips of a scene differ
    rungs = rng.permutation(variants - 1) + rng.random(variants - 1)
    ladder += [_draw(rng, float(rung) / (variants - 1)) for rung in rungs]
    return ladder


def _draw(rng: np.random.Generator, strength: float) -> Impairment:
    """Draw one impairment; `strength` 0..1 is how bad it may be."""
    codec = str(rng.choice(list(CODECS), p=[0.42, 0.2, 0.13, 0.1, 0.15]))
    damage = {str(rng.choice(DAMAGES, p=DAMAGE_ODDS))}
    if rng.random() < 0.2:
        damage.add(str(rng.choice(DAMAGES[1:])))
    damage.discard("none")
    # what the encoder adds when something else already hurts
    coding = strength if not damage else strength * rng.random()
    factors = [1.5, 2.0, 3.0] if strength > 0.4 else [1.5, 2.0]
    _, _, best, worst = CODECS[codec]
    return Impairment(
        codec=codec,
        quality=round(best + (worst - best) * coding),
        defocus=0.5 + 3.5 * strength * rng.uniform(0.6, 1) if "defocus" in damage else 0.0,
        motion=round(2 + 14 * strength) if "motion" in damage else 0,
        angle=rng.uniform(0, np.pi),
        gain=float(np.exp(rng.choice([-1, 1]) * (0.05 + 0.4 * strength))) if "exposure" in damage else 1.0,
        noise=2 + 22 * strength if "noise" in damage else 0.0,
        factor=float(rng.choice(factors)) if "resize" in damage else 1.0,
        enlarged=bool(rng.random() < 0.3),
    )


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
    """Mean VMAF (libvmaf's default model, 0..100) of a clip against uint8 luma (frames, height, width).

    A smaller clip is enlarged with bicubic interpolation first, as a player would.

    Raises:
        UserError: ffmpeg cannot read the clip, or the clip has no frame.
    """
    import ffmpeg

    height, width = pristine.shape[1:]
    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
        log = Path(folder) / "vmaf.json"
        # numbered anew: containers round time stamps, and libvmaf pairs frames by them
        shown = ffmpeg.input(str(path), threads=1).filter("scale", width, height, flags="bicubic+bitexact")
        pair = [_renumbered(shown, fps), _renumbered(_raw_input(pristine, fps), fps)]
        measured = ffmpeg.filter(pair, "libvmaf", log_path=str(log), log_fmt="json", n_threads=1)
        run_ffmpeg(
            ffmpeg.output(measured, "pipe:", format="null"),
            what=f"measuring VMAF of {path.name}",
            data=yuv420(pristine),
        )
        report = json.loads(log.read_text())
    if len(report["frames"]) != len(pristine):
        raise UserError(
            f"measuring VMAF of {path.name}: {len(report['frames'])} frames of {len(pristine)}; "
            "free some disk space and run again"
        )
    return float(report["pooled_metrics"]["vmaf"]["mean"])


def _renumbered(stream: Any, fps: int) -> Any:
    return stream.filter("settb", f"1/{fps}").filter("setpts", "N")


def vmaf_to_mos(value: float) -> float:
    """Map VMAF 20..100 linearly to MOS 1..5; less is 1."""
    return float(np.clip(1 + 4 * (value - LOW_VMAF) / (100 - LOW_VMAF), 1, 5))
