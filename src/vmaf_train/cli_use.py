"""The commands that use the models: score, filter, specialize, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vmaf_train.errors import UserError

PANEL = "Use the models"

AnyModel = Annotated[str, typer.Argument(help="A registered model id, or the path of an ONNX file.")]
Unverified = Annotated[
    bool,
    typer.Option(
        "--unverified", help="Accept a file outside the registry; forbidden operators stay refused."
    ),
]
Strength = Annotated[
    float, typer.Option(help="Of a filter: the part of its change that is applied, above 0 and at most 1.")
]
RawVideo = Annotated[
    str | None,
    typer.Option(
        metavar="WxH:PIX_FMT[:FPS]",
        help="The input is raw video, e.g. 1920x1080:yuv420p10le:50; FPS unset: 25.",
    ),
]
METRIC = "nr_metric_v3"  # the fastest; ranks different clips about as well as v2, better than v1
FILTER = "learned_filter_v3"  # wins on soft and noisy sources at an eighth of v1's time


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (score, filter_, specialize, inspect):
        app.command(command.__name__.rstrip("_"), rich_help_panel=PANEL)(command)


def score(
    videos: Annotated[list[Path], typer.Argument(help="Clips; several are scored at the same time.")],
    model: Annotated[str, typer.Option(help="Metric: a registered id or an ONNX file.")] = METRIC,
    every: Annotated[int, typer.Option(min=1, help="Score every N-th frame.")] = 1,
    crop: Annotated[
        str | None,
        typer.Option(
            metavar="W:H:X:Y|auto", help="Score this part of the frame; auto: what lies between black bars."
        ),
    ] = None,
    raw: RawVideo = None,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="<path>",
            help="Write libvmaf's log shape to this file; for several clips: a folder; -: stdout.",
        ),
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="<path>", help="Write one row a frame to this file; -: stdout.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-y", help="Overwrite files that vmaf-train did not write.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where a clip is damaged or ends early.")
    ] = False,
    unverified: Unverified = False,
) -> None:
    """Score clips without a reference: MOS of every frame, and pooled.

    Example: vmaf-train score clip.mp4 --every 5 --json clip.json
    """
    from vmaf_train.bars import Crop
    from vmaf_train.load import load_model
    from vmaf_train.raw import Raw
    from vmaf_train.score import ClipScore, expected_frames, score_videos
    from vmaf_train.score_log import meaning_text, plan, write
    from vmaf_train.terminal import print_error, print_note, print_table, progress_bar

    part: Crop | Literal["auto"] | None = None
    if crop is not None:
        part = "auto" if crop == "auto" else Crop.parse(crop)
    raw_video = None if raw is None else Raw.parse(raw)
    # the score's own graphs do the work
    loaded = load_model(model, unverified=unverified, threads=1)
    targets = plan(videos, json, csv, force=force)
    done: dict[Path, int] = {}
    with progress_bar("scoring") as report:
        expected = expected_frames(videos, every, raw_video) if report is not None else 0

        def progress(video: Path, count: int) -> None:
            done[video] = count
            if report is not None:
                report(sum(done.values()), expected)

        results = score_videos(videos, loaded, every=every, crop=part, raw=raw_video, progress=progress)
    clips = [result for result in results if isinstance(result, ClipScore)]
    failed = [result for result in results if isinstance(result, UserError)]
    errors: list[UserError] = []
    if clips:
        header = ("video", "frames", "mean", "harmonic mean", "min", "max", "took, s")
        rows = []
        for clip in clips:
            pooled = (clip.pooled.mean, clip.pooled.harmonic_mean, clip.pooled.min, clip.pooled.max)
            numbers = [f"{value:.3f}" for value in pooled]
            rows.append([str(clip.path), str(len(clip.frames)), *numbers, f"{clip.seconds:.2f}"])
            for note in clip.condition.notes(len(clip.frames)):
                print_note(f"{clip.path}: {note}")
            if crop == "auto" and clip.crop is not None:
                print_note(f"{clip.path}: black bars left out, scored is {clip.crop}")
            if crop is None and clip.picture is not None:
                print_note(
                    f"{clip.path}: bars around {clip.picture} move its scores; --crop auto cuts them off"
                )
            if strict and clip.condition.broken:
                failed.append(UserError(f"{clip.path} is damaged or ends early, and --strict was given"))
        if not targets.takes_stdout:
            print_table(header, rows, meaning_text(loaded))
        try:
            write(targets, clips, loaded)
        except UserError as error:
            errors.append(error)
    if failed and len(videos) > 1:
        for reason in failed:
            print_error(str(reason))
        failed = [UserError(f"{len(failed)} of {len(videos)} clips failed")]
    if failed or errors:
        raise UserError("; ".join(map(str, [*failed, *errors])))


def filter_(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The clip to filter.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The new clip; its suffix is the container.")],
    model: Annotated[str, typer.Option(help="Filter: a registered id or an ONNX file.")] = FILTER,
    chroma: Annotated[bool, typer.Option("--chroma", help="Filter the chroma planes as well.")] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="FFmpeg's encoder: libx265, libsvtav1, ffv1 …; unset: libx264, for .y4m and .yuv rawvideo."
        ),
    ] = None,
    crf: Annotated[float | None, typer.Option(help="Quality; unset: the encoder's default.")] = None,
    preset: Annotated[str | None, typer.Option(help="Speed; unset: the encoder's default.")] = None,
    strength: Strength = 1.0,
    pix_fmt: Annotated[
        str | None,
        typer.Option(help="Pixel format to encode, for example yuv422p10le; unset: that of the clip."),
    ] = None,
    raw: RawVideo = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Another option of the encoder or the container, KEY=VALUE."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-y", help="Replace an existing output.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail, with no output, where the clip is damaged or ends early.")
    ] = False,
    unverified: Unverified = False,
) -> None:
    """Run a clip's luma through a filter; audio, subtitles, timestamps and colour tags are kept.

    Example: vmaf-train filter in.mp4 out.mp4 --encoder libx265 --crf 20
    """
    from vmaf_train.encode import Encoder
    from vmaf_train.filter import filter_video
    from vmaf_train.load import load_model
    from vmaf_train.raw import Raw
    from vmaf_train.target import default_encoder
    from vmaf_train.terminal import print_note, progress_bar

    options = {}
    for text in option or []:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UserError(f"--option {text!r} is not KEY=VALUE")
        options[key] = value
    for key, given in (("crf", crf), ("preset", preset)):
        if given is not None:
            options[key] = f"{given:g}" if isinstance(given, float) else given
    loaded = load_model(model, unverified=unverified)
    with progress_bar(f"filtering {source.name}") as report:
        done = filter_video(
            source,
            target,
            loaded,
            encoder=Encoder(encoder or default_encoder(target), options),
            chroma=chroma,
            strength=strength,
            pix_fmt=pix_fmt,
            raw=None if raw is None else Raw.parse(raw),
            force=force,
            strict=strict,
            progress=report,
        )
    rate = done.frames / done.seconds
    print(f"{target}: {done.frames} frames in {done.seconds:.1f} s ({rate:.1f} fps), model {loaded.id}")
    if done.truncated:
        print_note(f"the input ends early: the output has the {done.frames} frames that were there")
    if done.damaged:
        print_note(f"damaged frames in the input: {done.damaged}")
    for name in done.dropped:
        print_note(f"not kept: {name}")
    for note in done.notes:
        print_note(note)


def specialize(
    model: AnyModel,
    width: Annotated[int, typer.Option(help="Columns of the frames.")],
    height: Annotated[int, typer.Option(help="Rows of the frames.")],
    out: Annotated[Path, typer.Option(help="Folder for the copy and its sidecar.")] = Path(),
    strength: Strength = 1.0,
    unverified: Unverified = False,
) -> None:
    """Write the copy of a model that libvmaf's C client loads: for one frame size, with the resize (of a
    metric) or the clip to 0..1 (of a filter) inside.

    Example: vmaf-train specialize nr_metric_v1 --width 1920 --height 1080 --out models
    """
    from vmaf_train.kinds import Kind
    from vmaf_train.load import load_model
    from vmaf_train.specialize import specialize as run

    loaded = load_model(model, unverified=unverified)
    done = run(loaded, width, height, out, strength=strength)
    unit = "MOS" if loaded.kind is Kind.NR else "code values"
    print(f"{done.path}: {done.facts.input.text} -> {done.facts.output.text}, opset {done.facts.opset}")
    print("operators: " + ", ".join(f"{name} {count}" for name, count in done.facts.operators.items()))
    print(f"largest difference to the registered model on one frame: {done.difference:.2g} {unit}")
    print(f"sidecar: {done.sidecar}")


def inspect(
    model: Annotated[
        str | None, typer.Argument(help="A registered id or an ONNX file; without it: a list of the models.")
    ] = None,
    unverified: Unverified = False,
) -> None:
    """Show what a model is: kind, shapes, operators, size, work and time of a frame, provenance."""
    from vmaf_train.inspect import costs, facts, models
    from vmaf_train.load import load_model
    from vmaf_train.terminal import print_facts, print_table

    if model is None:
        print_table(*models(), "registered models, SHA-256 checked", fold=False)
        return
    loaded = load_model(model, unverified=unverified)
    print_facts(loaded.id, facts(loaded))
    rows = [
        (cost.label, f"{cost.macs / 1e9:.4g}", f"{cost.seconds * 1e3:.4g}", f"{1 / cost.seconds:.4g}")
        for cost in costs(loaded)
    ]
    print_table(("frame", "GMAC", "ms", "fps"), rows, "one frame on this machine, all cores")
