"""What filtering a damaged source wins or loses once it is encoded again: BD-rate against no filter.

    python bench/bd_rate.py DIR [--models learned_filter_v3] [--strengths 1 --strengths 0.5] [--frames 32]

Each clip of DIR, shrunk and cut, is the clean source. It is damaged (soft and coded; coded; noisy; not at
all), filtered by each model at each strength or by ffmpeg's hqdn3d, encoded with libx264 at 4 rates and
compared with the clean source: VMAF 0.6.1, the same without credit for sharpening (NEG), and luma PSNR.
BD-rate and BD-quality as in G. Bjontegaard, VCEG-M33, 2001, with monotone cubics in place of polynomials;
means over the clips. Less rate is better, more quality is better.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import ffmpeg
import numpy as np
import typer
from machine import machine, markdown, program
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from vmaf_train.degrade import blur
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import grey_video, run_ffmpeg
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.mos import CLIP_SUFFIXES
from vmaf_train.planes import filter_codes

Frames = NDArray[np.uint8]
CRFS = (22, 27, 32, 37)
FPS = 24
NOISE = 12
SOURCE_CRF = 34
SIGMA = 1.2
POINTS = 200
FORMS = ("{:+.1f} %", "{:+.2f}", "{:+.1f} %", "{:+.2f}", "{:+.1f} %", "{:+.2f} dB")
MODELS = "version=vmaf_v0.6.1:name=vmaf|version=vmaf_v0.6.1neg:name=neg"


@dataclass(frozen=True)
class Curve:
    """Four encodes: log10 of the bits, VMAF, VMAF NEG and PSNR of each, from low to high rate."""

    rate: NDArray[np.float64]
    vmaf: NDArray[np.float64]
    neg: NDArray[np.float64]
    psnr: NDArray[np.float64]


def bd_rate(one: Curve, other: Curve, quality: str) -> float:
    """Mean difference in rate at equal quality, `other` against `one`, in percent; NaN without overlap."""
    curves = []
    for curve in (one, other):
        values = getattr(curve, quality)
        if (np.diff(values) <= 0).any():
            return float("nan")
        curves.append((values, PchipInterpolator(values, curve.rate)))
    low, high = max(v[0] for v, _ in curves), min(v[-1] for v, _ in curves)
    if high <= low:
        return float("nan")
    places = np.linspace(low, high, POINTS)
    gap = np.trapezoid(curves[1][1](places) - curves[0][1](places), places) / (high - low)
    return float((10**gap - 1) * 100)


def bd_quality(one: Curve, other: Curve, quality: str) -> float:
    """Mean difference in quality at equal rate, `other` against `one`; NaN without overlap."""
    low, high = max(one.rate[0], other.rate[0]), min(one.rate[-1], other.rate[-1])
    if high <= low:
        return float("nan")
    places = np.linspace(low, high, POINTS)
    first, second = (PchipInterpolator(curve.rate, getattr(curve, quality))(places) for curve in (one, other))
    return float(np.trapezoid(second - first, places) / (high - low))


def raw(width: int, height: int) -> Any:
    return ffmpeg.input("pipe:", format="rawvideo", pix_fmt="gray", s=f"{width}x{height}", framerate=FPS)


def to_frames(data: bytes, width: int, height: int) -> Frames:
    return np.frombuffer(data, np.uint8).reshape(-1, height, width)


def clean_luma(path: Path, width: int, height: int, frames: int) -> Frames:
    """The luma of a clip's first second on, as coded, shrunk."""
    shown = ffmpeg.input(str(path), ss=1).filter("fps", FPS).filter("scale", width, height, flags="lanczos")
    luma = shown.filter("format", "yuv420p").filter("extractplanes", "y")
    output = luma.output("pipe:", format="rawvideo", pix_fmt="gray", **{"frames:v": frames})
    return to_frames(run_ffmpeg(output, what=f"reading {path.name}"), width, height)


def through(luma: Frames, name: str, **options: Any) -> Frames:
    """Luma through one ffmpeg filter."""
    _, height, width = luma.shape
    output = raw(width, height).filter(name, **options).output("pipe:", format="rawvideo", pix_fmt="gray")
    return to_frames(run_ffmpeg(output, what=name, data=luma.tobytes()), width, height)


def encode(luma: Frames, path: Path, crf: int, preset: str) -> int:
    """Encode luma (flat chroma) with libx264; return the bytes."""
    shown, data = grey_video(luma, FPS)
    output = shown.output(str(path), vcodec="libx264", crf=crf, preset=preset, pix_fmt="yuv420p")
    run_ffmpeg(output, what=f"encoding at CRF {crf}", data=data)
    return path.stat().st_size


def decode(path: Path, width: int, height: int) -> Frames:
    luma = ffmpeg.input(str(path)).filter("extractplanes", "y")
    output = luma.output("pipe:", format="rawvideo", pix_fmt="gray")
    return to_frames(run_ffmpeg(output, what="decoding"), width, height)


def quality(path: Path, clean: Frames, folder: Path) -> tuple[float, float, float]:
    """VMAF, VMAF NEG and luma PSNR (dB) of an encoded clip against the clean luma."""
    _, height, width = clean.shape
    log = folder / "vmaf.json"
    shown = ffmpeg.input(str(path)).filter("extractplanes", "y").filter("format", "gray")
    pair = [one.filter("settb", f"1/{FPS}").filter("setpts", "N") for one in (shown, raw(width, height))]
    options = {"model": MODELS, "feature": "name=psnr", "log_fmt": "json", "n_threads": 2}
    measured = ffmpeg.filter(pair, "libvmaf", log_path=str(log), **options)
    run_ffmpeg(ffmpeg.output(measured, "pipe:", format="null"), what="VMAF", data=clean.tobytes())
    pooled = json.loads(log.read_text())["pooled_metrics"]
    return pooled["vmaf"]["mean"], pooled["neg"]["mean"], pooled["psnr_y"]["mean"]


def filtered(model: LoadedModel, strength: float, luma: Frames) -> Frames:
    planes = luma.copy()
    for plane in planes:
        filter_codes(plane, 8, partial(model.run_codes, strength=strength))
    return planes


def rate_curve(luma: Frames, clean: Frames, folder: Path) -> Curve:
    points = []
    for crf in sorted(CRFS, reverse=True):
        size = encode(luma, folder / "out.mkv", crf, "medium")
        points.append((np.log10(size), *quality(folder / "out.mkv", clean, folder)))
    return Curve(*np.array(points, np.float64).T)


def main(
    folder: Annotated[Path, typer.Argument(help="A folder of clips.", metavar="DIR")],
    models: list[str] = ["learned_filter_v2", "learned_filter_v3"],  # noqa: B006
    strengths: list[float] = [1.0],  # noqa: B006
    frames: int = 32,
    width: int = 640,
    height: int = 360,
    unverified: bool = False,
) -> None:
    """Measure every clip, damage and filter, and print the means."""
    clips = sorted(path for path in folder.iterdir() if path.suffix.lower() in CLIP_SUFFIXES)
    if not clips:
        raise UserError(f"no clip in {folder}")
    loaded = {name: load_model(name, unverified=unverified) for name in models}
    print(machine())
    print(f"{len(clips)} clips, {frames} frames of {width}x{height}, libx264 medium at CRF {CRFS}\n")
    ways: dict[str, Callable[[Frames], Frames]] = {
        f"{Path(name).stem} at {strength:g}": partial(filtered, model, strength)
        for name, model in loaded.items()
        for strength in strengths
    }
    ways["hqdn3d"] = lambda luma: through(luma, "hqdn3d")
    found: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for clip in clips:
            clean = clean_luma(clip, width, height, frames)
            encode(clean, work / "source.mkv", SOURCE_CRF, "veryfast")
            coded = decode(work / "source.mkv", width, height)
            soft = np.stack([blur(frame, SIGMA) for frame in clean])
            encode(soft, work / "source.mkv", SOURCE_CRF, "veryfast")
            damaged = {
                f"blur sigma {SIGMA}, x264 CRF {SOURCE_CRF}": decode(work / "source.mkv", width, height),
                f"x264 CRF {SOURCE_CRF}": coded,
                f"noise {NOISE}": through(clean, "noise", alls=NOISE, allf="t", all_seed=1),
                "none": clean,
            }
            for damage, luma in damaged.items():
                plain = rate_curve(luma, clean, work)
                for way, run in ways.items():
                    curve = rate_curve(run(luma), clean, work)
                    row = [f(plain, curve, q) for q in ("vmaf", "neg", "psnr") for f in (bd_rate, bd_quality)]
                    found[damage, way].append(tuple(row))
    rows = []
    for (damage, way), values in found.items():
        table = np.array(values)
        cells = []
        for column, form in zip(table.T, FORMS, strict=True):
            good = column[np.isfinite(column)]
            cells.append(f"{form.format(good.mean())} ({len(good)})" if len(good) else "no overlap")
        rows.append((damage, way, *cells))
    measures = [f"BD-{what}{name}" for name in ("VMAF", "NEG", "PSNR") for what in ("rate, ", "")]
    markdown(("damage of the source", "filter", *measures), rows)
    print("\nIn brackets: the clips whose curves overlap, over which the mean is taken.")


if __name__ == "__main__":
    program(main)
