"""Stage `register`: sidecars, the registry and the model cards, from what the other stages left."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from vmaf_train.cards import card, readme_block, with_block
from vmaf_train.errors import UserError
from vmaf_train.files import json_text, made_by, replacing, sha256_bytes, sha256_file, write_text
from vmaf_train.graph import GraphFacts, check_graph, macs
from vmaf_train.kinds import Kind
from vmaf_train.layout import Layout
from vmaf_train.onnx_frames import frames_of, split_rows
from vmaf_train.params import FilterRecipe, NrModel, Params
from vmaf_train.registry import (
    NAME,
    Entry,
    bundle_name,
    int8_name,
    onnx_name,
    sidecar_name,
    write_registry,
)
from vmaf_train.schemas import write_schemas
from vmaf_train.sidecar import LUMA, METRIC_LUMA, Sidecar, sidecar_text, write_sidecar
from vmaf_train.sources import sources_sha256
from vmaf_train.split import SPLITS
from vmaf_train.strict_json import read_json

LICENCE = "BSD-2-Clause-Patent"
# the stages whose sources, with all that they import, are hashed into the provenance of a model
HASHED = ("fit", "export")
SCORE = "No-reference quality: one distorted luma frame to a mean opinion score on 1..5, by "
FILTER = "Luma filter: degraded luma to clean luma, of any height and width; trained on "
DESCRIPTIONS = {
    "convolutional": SCORE + "a small convolutional network (the published design).",
    "energies": SCORE + "a small network over the energies of derivative filters.",
    "fragments": SCORE
    + "a small network over the energies of derivative filters in fragments, small squares "
    "of pixels of the frame as it is shown at about 960x540.",
}
PUBLISHED_PAIRS = (1.2, 35)  # sigma of the blur, quality of JPEG
DAMAGES = {
    **{"blur_jpeg": "blur and JPEG", "x264": "x264", "x265": "x265", "svtav1": "SVT-AV1", "vp9": "VP9"},
    **{"noise": "noise", "clean": "clean frames"},
}
# frame sizes at which a card states the work, height then width
CARD_SIZES = {"540p": (540, 960), "1080p": (1080, 1920)}


@dataclasses.dataclass(frozen=True)
class _Built:
    """One model, ready to be written."""

    sidecar: Sidecar
    facts: GraphFacts
    data: bytes
    report: dict[str, Any]


def register(params: Params, layout: Layout) -> None:
    """Write the schemas, the sidecar and the card of every model, `registry.json`, the README's table.

    Raises:
        UserError: a model, its metrics or its int8 report is missing or of another build, or a file breaks
            the contract.
    """
    corpus = read_json(layout.provenance, "fetch")
    made_from = {
        "manifest": sha256_file(made_by(layout.manifest, "manifest-scan")),
        "frames": _frames_sha256(layout),
        "sources": sources_sha256(*HASHED),
    }
    built = [_build(model, params, layout, corpus, made_from) for model in params.models]
    entries = [_entry(one, params, layout) for one in built]
    write_schemas(layout.models)
    for one in built:
        model = one.sidecar.name
        write_sidecar(layout.models / sidecar_name(model), one.sidecar)
        _place_int8(model, layout, ships=one.report["ships"])
        notes = layout.measured(model)
        measured = notes.read_text("utf-8") if notes.is_file() else ""
        text = card(
            one.sidecar,
            one.facts,
            card_gmacs(one.sidecar.kind, one.data),
            measured=measured,
            citation=corpus["citation"],
        )
        write_text(layout.card(model), text)
    write_registry(layout.models / NAME, entries)
    readme = layout.root / "README.md"
    if readme.is_file():
        text = readme.read_text("utf-8")
        renewed = with_block(text, readme_block([one.sidecar for one in built]))
        if renewed != text:
            write_text(readme, renewed)


def _build(
    model: str,
    params: Params,
    layout: Layout,
    corpus: dict[str, Any],
    made_from: dict[str, str],
) -> _Built:
    section = params.model(model)
    kind = Kind.from_label(section.kind)
    path = layout.onnx(model)
    data = made_by(path, f"export {model}").read_bytes()
    sha256 = sha256_bytes(data)
    facts = check_graph(data, name=onnx_name(model))
    report = read_json(layout.int8(model) / "report.json", f"quantize {model}")
    metrics = read_json(layout.metrics(model), f"eval {model}")
    if any(metrics.get(key) != corpus[key] for key in ("corpus", "label_kind")):
        raise UserError(
            f"{layout.metrics(model)} is of corpus {metrics.get('corpus')} ({metrics.get('label_kind')}), "
            f"not {corpus['corpus']} ({corpus['label_kind']}); run `dvc repro`"
        )
    _check_same_file(report.get("onnx_sha256"), sha256, path, layout.int8(model), f"quantize {model}")
    _check_same_file(metrics.get("onnx_sha256"), [sha256], path, layout.metrics(model), f"eval {model}")
    versions = read_json(layout.versions(model), f"export {model}")
    is_nr = kind is Kind.NR
    sidecar = Sidecar(
        name=model,
        kind=kind,
        input_name=facts.input.name,
        output_name=facts.output.name,
        onnx_opset=facts.opset,
        description=_description(params, model),
        input_shape=facts.input.shape,
        output_shape=facts.output.shape,
        sampling=section.net.sampling if isinstance(section, NrModel) else None,
        output_range=(1, 5) if is_nr else (0, 1),
        luma=METRIC_LUMA if is_nr else LUMA,
        score_range=(1, 5) if is_nr else None,
        score_direction="higher-is-better" if is_nr else None,
        sha256=sha256,
        corpus=corpus["corpus"],
        label_kind=corpus["label_kind"],
        split_counts=_split_counts(params, model, layout),
        metrics={name: value for name, value in metrics.items() if isinstance(value, dict)},
        provenance={"params": _params_sha256(params, model), **made_from, "versions": versions},
        licence=LICENCE,
        quant_mode="static_qdq" if report["ships"] else None,
    )
    return _Built(sidecar, facts, data, report)


def _check_same_file(given: Any, expected: Any, onnx: Path, made: Path, command: str) -> None:
    """Refuse what a stage made of an earlier build of the ONNX file; `given` is the hash that it noted."""
    if given != expected:
        raise UserError(f"{made} is of another build of {onnx}; run `vmaf-train {command}`, then register")


def _description(params: Params, model: str) -> str:
    section, recipe = params.model(model), params.recipe(model)
    if isinstance(section, NrModel):
        return DESCRIPTIONS["fragments" if section.net.sampling == "fragments" else section.net.design]
    frames = params.frames
    if isinstance(recipe, FilterRecipe) and recipe.pairs == "mixed":
        shares = dataclasses.asdict(frames.coded.shares)
        *first, last = [DAMAGES[name] for name, share in shares.items() if share]
        return FILTER + (f"{', '.join(first)}, and {last}." if first else f"{last}.")
    sigma, quality = frames.blur_sigma, frames.jpeg_quality
    published = (sigma, quality) == PUBLISHED_PAIRS
    which = "(the published pairs)" if published else f"of sigma {sigma:g} and quality {quality}"
    return FILTER + f"a Gaussian blur followed by JPEG {which}."


def _split_counts(params: Params, model: str, layout: Layout) -> dict[str, int]:
    """How many clips of each split a model uses: those that were extracted and, by a filter, are clean."""
    rows = {name: split_rows(layout, name, frames_of(params.model(model))) for name in SPLITS}
    rows["train"] = rows["train"][rows["train"]["mos"] >= params.recipe(model).min_mos]
    return {name: len(rows[name]) for name in SPLITS}


def _entry(one: _Built, params: Params, layout: Layout) -> Entry:
    sidecar, model = one.sidecar, one.sidecar.name
    ships = one.report["ships"]
    return Entry(
        id=model,
        kind=sidecar.kind,
        file=onnx_name(model),
        sha256=sidecar.sha256,
        sidecar=sidecar_name(model),
        sidecar_sha256=sha256_bytes(sidecar_text(sidecar).encode()),
        opset=sidecar.onnx_opset,
        licence=sidecar.licence,
        provenance=sidecar.provenance,
        quant_mode="static_qdq" if ships else "fp32",
        int8_file=int8_name(model) if ships else None,
        int8_sha256=sha256_file(made_by(layout.int8(model) / int8_name(model), f"quantize {model}"))
        if ships
        else None,
        quant_accuracy_budget_plcc=params.model(model).quant_accuracy_budget_plcc,
        # where a signature lies once there is one; signing then changes no file that it covers
        sigstore_bundle=bundle_name(model),
    )


def _place_int8(model: str, layout: Layout, *, ships: bool) -> None:
    target = layout.models / int8_name(model)
    if ships:
        with replacing(target) as temporary:
            shutil.copyfile(layout.int8(model) / int8_name(model), temporary)
    else:
        target.unlink(missing_ok=True)


def card_gmacs(kind: Kind, data: bytes) -> dict[str, float]:
    """Frame size in words -> billions of multiply-accumulates a frame, at the sizes that a card states."""
    sizes = {"224x224": (224, 224)} if kind is Kind.NR else CARD_SIZES
    return {word: macs(data, (1, 1, *size), name="card") / 1e9 for word, size in sizes.items()}


def _params_sha256(params: Params, model: str) -> str:
    """Hash of the parameters of training and of the model's whole section, in one fixed form."""
    shared = {name: getattr(params, name) for name in ("seed", "lr", "max_steps")}
    groups = {
        "train": dataclasses.asdict(params.train),
        "frames": dataclasses.asdict(params.frames),
        "split": dataclasses.asdict(params.split),
        model: dataclasses.asdict(params.model(model)),
    }
    return sha256_bytes(json_text({**shared, **groups}).encode())


def _frames_sha256(layout: Layout) -> str:
    made_by(layout.frames / "mos.parquet", "frames")
    lines = [f"{sha256_file(path)}  {path.name}\n" for path in sorted(layout.frames.iterdir())]
    return sha256_bytes("".join(lines).encode())
