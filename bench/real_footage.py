"""How models do on real footage that they never saw: metrics beside VMAF, filters beside doing nothing.

    python bench/real_footage.py DIR [--nr nr_metric_v1 --nr nr_metric_v3] [--filter learned_filter_v1]

A model is an id of the registry or the path of an ONNX file. Metrics: two seconds of each clip of DIR, at
960x540 and 24 frames a second, are the reference; ten impairments of it are scored, every 6th frame, and
compared with VMAF 0.6.1 by rank correlation (SROCC, PLCC over all; mean of the SROCC within each clip); with
`--touched-up` fifteen, some of them encodes that were sharpened or given grain.
Filters: three frames of each clip at 224x224, blurred and compressed as JPEG, against the clean frames.
`--work` keeps the encodes for the next run.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import ffmpeg
import numpy as np
import typer
from machine import machine, markdown, program
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from vmaf_train.degrade import degrade
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.files import replacing
from vmaf_train.kinds import Kind
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.luma import area_resize, to_unit
from vmaf_train.photos import CLIP_SUFFIXES
from vmaf_train.score import score_video
from vmaf_train.statistics import fidelity
from vmaf_train.video import iterate_luma

WIDTH, HEIGHT, FPS, SIDE = 960, 540, 24, 224
EVERY = 6
BLUR, QUALITY = 1.2, 35
X264 = {"vcodec": "libx264", "preset": "veryfast"}
X265 = {"vcodec": "libx265", "preset": "veryfast", "x265-params": "log-level=error"}


@dataclass(frozen=True)
class Rung:
    """An impairment: a filter of ffmpeg before the encoder, or none, and the encoder's settings."""

    settings: dict[str, Any]
    before: tuple[str, dict[str, Any]] | None = None
    after: str = ""  # the version that is taken in place of the source


RUNGS = {
    "x264 crf 18": Rung(X264 | {"crf": 18}),
    "x264 crf 28": Rung(X264 | {"crf": 28}),
    "x264 crf 36": Rung(X264 | {"crf": 36}),
    "x264 crf 44": Rung(X264 | {"crf": 44}),
    "x265 crf 40": Rung(X265 | {"crf": 40}),
    "half size": Rung(X264 | {"crf": 23}, ("scale", {"w": WIDTH // 2, "h": HEIGHT // 2})),
    "third size": Rung(X264 | {"crf": 26}, ("scale", {"w": WIDTH // 3, "h": HEIGHT // 3})),
    "blur": Rung(X264 | {"crf": 14}, ("gblur", {"sigma": 2.5})),
    "noise": Rung(X264 | {"crf": 10}, ("noise", {"alls": 24, "allf": "t"})),
    "mpeg4 q 20": Rung({"vcodec": "mpeg4", "q:v": 20}),
}


# what becomes of an encode that is given grain or sharpened: VMAF hardly changes
TOUCHED_UP = {
    f"{after.replace('x264 ', '')} {name}": Rung(X264 | {"crf": 14}, (name, options), after)
    for name, options, sources in (
        ("noise", {"alls": 8, "allf": "t"}, ("", "x264 crf 28", "x264 crf 36", "x264 crf 44")),
        ("unsharp", {}, ("x264 crf 36",)),
    )
    for after in sources
}


@dataclass(frozen=True)
class Scored:
    """One impaired clip: its source and impairment, its file, and VMAF."""

    clip: str
    rung: str
    path: Path
    vmaf: float


def find(folder: Path) -> list[Path]:
    """The clips of a folder, sorted.

    Raises:
        UserError: there is none.
    """
    clips = sorted(path for path in folder.glob("*") if path.suffix.lower() in CLIP_SUFFIXES)
    if not clips:
        raise UserError(f"no clip in {folder}; give a folder of {', '.join(CLIP_SUFFIXES)} files")
    return clips


def impaired(clip: Path, work: Path, seconds: float, rungs: dict[str, Rung] = RUNGS) -> list[Scored]:
    """The impaired versions of one clip with their VMAF; what `work` holds already is taken from it."""
    name = f"{clip.name}_{seconds:g}s"
    reference = work / f"{name}.y4m"
    if not reference.exists():
        source = ffmpeg.input(str(clip), ss=seconds / 2).video.filter("fps", FPS)
        scaled = source.filter("scale", WIDTH, HEIGHT, flags="lanczos").filter("format", "yuv420p")
        with replacing(reference) as whole:
            run_ffmpeg(scaled.output(str(whole), t=seconds), what=f"reading {clip.name}", threads=0)
    return [_one(name, label, rung, reference, work) for label, rung in rungs.items()]


def _one(clip: str, name: str, rung: Rung, reference: Path, work: Path) -> Scored:
    path = _version(clip, name, work)
    report = path.with_suffix(".json")
    if not report.exists():
        picture = ffmpeg.input(str(_version(clip, rung.after, work) if rung.after else reference)).video
        if rung.before:
            picture = picture.filter(rung.before[0], **rung.before[1])
        output = picture.output(str(path), pix_fmt="yuv420p", **rung.settings)
        run_ffmpeg(output, what=f"encoding {path.name}", threads=0)
        shown = ffmpeg.input(str(path)).video.filter("scale", WIDTH, HEIGHT, flags="bicubic")
        pair = [_numbered(shown), _numbered(ffmpeg.input(str(reference)).video)]
        options = {"log_fmt": "json", "log_path": str(report), "n_subsample": 3}
        measured = ffmpeg.filter(pair, "libvmaf", **options)
        run_ffmpeg(measured.output("pipe:", format="null"), what=f"measuring {path.name}", threads=0)
    vmaf = float(json.loads(report.read_text())["pooled_metrics"]["vmaf"]["mean"])
    return Scored(clip, name, path, vmaf)


def _version(clip: str, name: str, work: Path) -> Path:
    return work / f"{clip}_{name.replace(' ', '_')}.mkv"


def _numbered(stream: Any) -> Any:
    # containers round time stamps, and libvmaf pairs frames by them
    return stream.filter("settb", f"1/{FPS}").filter("setpts", "N")


def metric_row(model: LoadedModel, items: list[Scored]) -> tuple[str, ...]:
    """SROCC and PLCC over all, mean SROCC within a clip, lowest and highest score."""
    given = np.array([score_video(item.path, model, every=EVERY).pooled.mean for item in items])
    true = np.array([item.vmaf for item in items])
    clips = np.array([item.clip for item in items])
    inside = [spearmanr(given[clips == one], true[clips == one]).statistic for one in sorted(set(clips))]
    return (
        model.id,
        f"{spearmanr(given, true).statistic:.3f}",
        f"{pearsonr(given, true).statistic:.3f}",
        f"{np.mean(inside):.3f}",
        f"{given.min():.2f}..{given.max():.2f}",
    )


def clean_frames(clips: list[Path]) -> NDArray[np.uint8]:
    """The first, a middle and the last of every sixth frame of each clip, uint8 (N, 224, 224)."""
    found = []
    for clip in clips:
        frames = [area_resize(luma, SIDE, SIDE) for _, luma in iterate_luma(clip, every=EVERY)]
        found += [frames[0], frames[len(frames) // 2], frames[-1]]
    return np.stack(found)


def filter_rows(models: list[LoadedModel], clean: NDArray[np.uint8]) -> list[tuple[str, ...]]:
    """L1, PSNR and SSIM of each filter's output, and of the input: doing nothing."""
    degraded = np.stack([degrade(frame, BLUR, QUALITY) for frame in clean])
    outputs = {"do nothing": to_unit(degraded)}
    for model in models:
        outputs[model.id] = model.run(to_unit(degraded[:, None]))[:, 0]
    rows: list[tuple[str, ...]] = []
    for name, output in outputs.items():
        found = fidelity(output, to_unit(clean))
        rows.append((name, f"{found['l1']:.5f}", f"{found['psnr']:.2f}", f"{found['ssim']:.4f}"))
    return rows


def load(name: str, kind: str) -> LoadedModel:
    """A registered model, or a file that no registry vouches for."""
    model = load_model(name, unverified=name.endswith(".onnx"))
    return model.require(Kind.from_label(kind))


def main(
    folder: Path,
    nr: Annotated[list[str] | None, typer.Option(help="A metric; may be given several times.")] = None,
    filter_: Annotated[list[str] | None, typer.Option("--filter", help="A filter; likewise.")] = None,
    work: Annotated[Path | None, typer.Option(help="Keep the encodes here.")] = None,
    seconds: float = 2.0,
    touched_up: Annotated[
        bool, typer.Option("--touched-up", help="Five more versions: encodes with grain, or sharpened.")
    ] = False,
) -> None:
    """Measure metrics and filters on the clips of a folder."""
    metrics = [load(name, "nr") for name in nr or []]
    filters = [load(name, "filter") for name in filter_ or []]
    clips = find(folder)
    print(machine())
    if metrics:
        with tempfile.TemporaryDirectory() as scratch:
            kept = work or Path(scratch)
            kept.mkdir(parents=True, exist_ok=True)
            rungs = RUNGS | TOUCHED_UP if touched_up else RUNGS
            items = [item for clip in clips for item in impaired(clip, kept, seconds, rungs)]
            low, high = min(item.vmaf for item in items), max(item.vmaf for item in items)
            print(f"\n{len(clips)} clips, {len(items)} impaired, VMAF {low:.0f}..{high:.0f}\n")
            header = ("metric", "SROCC, all", "PLCC, all", "SROCC within a clip", "scores")
            markdown(header, [metric_row(model, items) for model in metrics])
    if filters:
        clean = clean_frames(clips)
        print(f"\n{len(clean)} frames, blur sigma {BLUR}, JPEG quality {QUALITY}\n")
        markdown(("filter", "L1", "PSNR, dB", "SSIM"), filter_rows(filters, clean))


if __name__ == "__main__":
    program(main)
