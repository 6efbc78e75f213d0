"""Model cards and the README's table, generated from sidecars and metrics alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vmaf_train.graph import GraphFacts
from vmaf_train.kinds import Kind
from vmaf_train.sidecar import Sidecar

BEGIN = "<!-- metrics: written by vmaf-train register -->"
END = "<!-- end of metrics -->"
NOTES = {
    "synthetic": "**No figure here is a KoNViD-1k result.** The corpus is rendered, but for photographs and "
    "clips in `data/photos`, if any."
}
LABELS = {
    "vmaf-proxy": "VMAF of the impaired clip against its pristine source, mapped linearly from 20..100 to "
    "1..5 and clipped. **No person rated these clips**, and no figure here says anything about KoNViD-1k.",
    "human-mos": "Mean opinion scores of people, 1 (bad) to 5 (excellent).",
}
USE = {
    Kind.NR: "vmaf-train score clip.mp4 --model {id}",
    Kind.FILTER: "vmaf-train filter in.mp4 out.mp4 --model {id}",
}
LIMITS = {
    Kind.NR: (
        "One frame at a time: stutter, flicker and anything else that needs two frames is not seen.",
        "Luma only: colour faults do not count.",
        "Grain, dither and sharpening that come after an encode pass in part for detail: they raise the "
        "score. Compare only what has the same film grain and denoising.",
    ),
    Kind.FILTER: (
        "It removes the damage that it was trained on; other damage is removed less, or not.",
        "Each frame on its own: nothing holds the result steady over time.",
        "Luma only; chroma passes through unless asked for.",
    ),
}
SAMPLINGS = {
    "area": "`area`: the whole frame, resized by area to 224x224 and rounded to 8 bits",
    "fragments": "`fragments`: 14x14 squares of 16x16 pixels of the frame at about 960x540, side by side "
    "(FAST-VQA, ECCV 2022)",
}
SAMPLING_LIMITS = {
    "area": "The frame is shrunk to 224x224 first, so the finest detail does not count.",
    "fragments": "It looks at 196 squares of 16x16 pixels, a tenth of a frame of 960x540: damage in between "
    "is not seen. Larger and smaller frames are sampled as if resized to about 960x540.",
}
PICTURES = {
    Kind.NR: {"predicted_mos.png": "Predicted against true MOS"},
    Kind.FILTER: {
        "filtered.png": "Degraded, filtered and clean luma of rendered stills",
        "coded.png": "The same for the damage of encoders",
    },
}
PROXY_LIMIT = "Trained with proxy labels: check it on your own footage before you rely on it."
MEASURED = re.compile(r"<!-- measured: ([0-9a-f]{64}) -->\n")  # the first line of docs/measured/<id>.md
# entry of the metrics -> what its row says it is of
ROWS = {
    Kind.NR: {"val": "val", "test": "test"},
    Kind.FILTER: {
        "val": "val, blur and JPEG",
        "test": "test, blur and JPEG",
        "test_coded": "test, encoders' damage",
        "test_noise": "test, noise",
    },
}
CURVES = {
    Kind.NR: "Learning curves: `dvc plots show`.",
    Kind.FILTER: "Learning curves: `dvc plots show`. They are of this filter's own mix of pairs, all the "
    "damage that it was trained on; each row above is of one kind.",
}


def metric_table(sidecars: Iterable[Sidecar]) -> str:
    """The README's Markdown tables: every model on val and test, each figure with its baseline."""
    listed = list(sidecars)
    tables = []
    for kind, header, row in (
        (Kind.NR, "| model | split | n | MSE (training mean) | RMSE | PLCC | SROCC | KROCC |", _score_row),
        (Kind.FILTER, "| model | split | n | L1 (doing nothing) | PSNR, dB | SSIM |", _filter_row),
    ):
        rows = [
            f"| {sidecar.name} | {label} | {sidecar.metrics[split]['n']} | {row(sidecar.metrics[split])} |"
            for sidecar in listed
            if sidecar.kind is kind
            for split, label in ROWS[kind].items()
            if split in sidecar.metrics
        ]
        if rows:
            columns = header.count("|") - 1
            tables.append("\n".join([header, "| --- | --- " + "| ---: " * (columns - 2) + "|", *rows]))
    return "\n\n".join(tables) + "\n"


def _score_row(values: Mapping[str, Any]) -> str:
    mse = f"{_number(values['mse'])} ({_number(values['mean_predictor_mse'])})"
    return " | ".join([mse, *(_number(values[key]) for key in ("rmse", "plcc", "srocc", "krocc"))])


def _filter_row(values: Mapping[str, Any]) -> str:
    keys = ("l1", "psnr", "ssim")
    return " | ".join(f"{_number(values[key])} ({_number(values[f'do_nothing_{key}'])})" for key in keys)


def corpus_line(sidecar: Sidecar) -> str:
    """One line: which corpus and which labels the figures belong to, and how many clips the model uses."""
    counts = sidecar.split_counts
    return (
        f"Corpus `{sidecar.corpus}`, labels `{sidecar.label_kind}`: {counts['train']} clips to train, "
        f"{counts['val']} to validate, {counts['test']} to test."
    )


def readme_block(sidecars: list[Sidecar]) -> str:
    """What stands between the README's markers, markers included."""
    used: dict[str, list[str]] = {}
    for sidecar in sidecars:
        used.setdefault(corpus_line(sidecar), []).append(sidecar.name)
    lines = [f"{line[:-1]} ({', '.join(names)})." if len(used) > 1 else line for line, names in used.items()]
    notes = sorted({NOTES[sidecar.corpus] for sidecar in sidecars if sidecar.corpus in NOTES})
    labels = sorted({f"Labels: {LABELS[sidecar.label_kind]}" for sidecar in sidecars})
    return "\n\n".join([BEGIN, *lines, *notes, *labels, metric_table(sidecars).rstrip(), END])


def with_block(readme: str, block: str) -> str:
    """The README's text with its generated block replaced; unchanged where it has no markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + block + after if begin and end else readme


def card(
    sidecar: Sidecar, facts: GraphFacts, gmacs: Mapping[str, float], measured: str, citation: str
) -> str:
    """The Markdown text of one model's card.

    Args:
        sidecar: what the model takes, gives and was trained on.
        facts: what its graph holds.
        gmacs: frame size in words -> billions of multiply-accumulates a frame.
        measured: Markdown about speed and use, from the benchmarks, whose first line names the SHA-256 of the
            file that they measured; empty when there is none yet.
        citation: of the corpus.
    """
    name, kind = sidecar.name, sidecar.kind
    parts = [f"# {name}", sidecar.description, f"```\n{USE[kind].format(id=name)}\n```"]
    rows = [
        ("input", f"`{facts.input.text}`, float32, {_span(sidecar.input_range)}"),
        ("luma", sidecar.luma),
        *([("sampling", SAMPLINGS[sidecar.sampling])] if sidecar.sampling else []),
        ("output", f"`{facts.output.text}`, float32"),
    ]
    if kind is Kind.NR and sidecar.score_range is not None:
        direction = str(sidecar.score_direction).replace("-", " ")
        rows.append(
            ("score", f"MOS, {_span(sidecar.score_range)}, {direction}; outside it when extrapolating")
        )
    else:
        rows.append(("output range", _span(sidecar.output_range)))
    operators = ", ".join(f"{count} {operator}" for operator, count in facts.operators.items())
    rows += [
        ("size", f"{facts.parameters:,} parameters, {facts.bytes:,} bytes"),
        ("work", "; ".join(f"{value:.3g} GMAC at {size}" for size, value in gmacs.items())),
        ("graph", f"opset {facts.opset}, IR {facts.ir_version}: {operators}"),
        ("SHA-256", f"`{sidecar.sha256}`"),
        ("licence", sidecar.licence),
    ]
    parts.append("## Contract")
    parts.append("| | |\n| --- | --- |\n" + "\n".join(f"| {key} | {value} |" for key, value in rows))
    corpus = [corpus_line(sidecar), LABELS[sidecar.label_kind], citation]
    parts += ["## Corpus and labels", "\n\n".join(line for line in corpus if line)]
    parts += ["## Metrics", metric_table([sidecar]).rstrip(), "## Pictures"]
    for picture, caption in PICTURES[kind].items():
        parts.append(f"![{caption}](../../metrics/plots/{name}/{picture})")
    parts.append(CURVES[kind])
    if measured.strip():
        parts += ["## Measured", *_measured(measured, sidecar.sha256)]
    sampled = [SAMPLING_LIMITS[sidecar.sampling]] if sidecar.sampling else []
    limits = [*LIMITS[kind], *sampled, *([PROXY_LIMIT] if sidecar.label_kind == "vmaf-proxy" else [])]
    parts += ["## Limits", "\n".join(f"- {limit}" for limit in limits)]
    return "\n\n".join(parts) + "\n"


def _measured(text: str, sha256: str) -> list[str]:
    """The notes, and that they are of another file where they are."""
    named = MEASURED.match(text)
    notes = text[named.end() :].strip() if named else text.strip()
    if named and named[1] == sha256:
        return [notes]
    which = f"whose SHA-256 is `{named[1]}`" if named else "they do not say which"
    return [
        f'**Not of this file**: another build of this model was measured, {which}, and "this model" below is '
        "that one.",
        notes,
    ]


def _span(span: tuple[float, float]) -> str:
    return f"{span[0]:g}..{span[1]:g}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
