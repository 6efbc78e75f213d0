"""One row of the registry against its files: the checks that `load` and `verify` share."""

from __future__ import annotations

from pathlib import Path

from vmaf_train import sidecar as sidecars
from vmaf_train.errors import UserError
from vmaf_train.files import sha256_bytes
from vmaf_train.graph import MAX_BYTES, GraphFacts
from vmaf_train.kinds import Kind
from vmaf_train.registry import Entry
from vmaf_train.regular_files import inside, read_regular
from vmaf_train.sidecar import Sidecar, parse_sidecar

# rank of the input and of the output; a score is one value a frame
_RANKS = {Kind.NR: (4, (1, 2)), Kind.FILTER: (4, (4,)), Kind.FR: (2, (1, 2))}


def read_model(path: Path, folder: Path) -> bytes:
    """The bytes of a model file inside the model directory.

    Raises:
        UserError: it lies outside, is no regular file, or is larger than 50 MiB.
    """
    return read_regular(inside(path, folder), limit=MAX_BYTES)


def check_hash(data: bytes, expected: str, *, name: str) -> None:
    """Compare the SHA-256 of `data` with the registry's.

    Raises:
        UserError: they differ.
    """
    found = sha256_bytes(data)
    if found != expected:
        raise UserError(
            f"{name}: SHA-256 {found[:16]}… is not the registry's {expected[:16]}…: the file was altered; "
            "rebuild it with `dvc repro` or restore it with `git checkout`"
        )


def read_sidecar_of(entry: Entry, folder: Path) -> Sidecar:
    """The sidecar of a registered model, whose bytes must be those that the registry pins.

    Raises:
        UserError: missing, outside the directory, larger than 1 MiB, altered, or not a valid sidecar.
    """
    path = folder / entry.sidecar
    data = read_regular(inside(path, folder), limit=sidecars.MAX_BYTES)
    check_hash(data, entry.sidecar_sha256, name=str(path))
    return parse_sidecar(data, name=str(path))


def check_kind(facts: GraphFacts, kind: Kind, *, name: str) -> None:
    """Compare the shapes of a graph with those of its kind.

    fr: features [batch, n] -> score [batch]; nr: luma [batch, 1, H, W] -> score [batch]; filter: luma
    [batch, 1, H, W] -> luma of the same shape.

    Raises:
        UserError: the graph does another job.
    """
    if kind not in _RANKS:
        raise UserError(f"{name}: kind {kind.label!r} is not an ONNX model; give one of fr, nr, filter")
    source, target = facts.input.shape, facts.output.shape
    rank, output_ranks = _RANKS[kind]
    fits = len(source) == rank and len(target) in output_ranks and (rank != 4 or source[1] == 1)
    fits = fits and (len(target) != 2 or target[1] == 1)
    # exporters may lose an output's symbolic name, never a fixed size
    pairs = list(zip(source, target, strict=False)) if kind is Kind.FILTER else []
    if not fits or any(a != b for a, b in pairs if isinstance(a, int) and isinstance(b, int)):
        raise UserError(
            f"{name}: {facts.input.text} -> {facts.output.text} is not the shape of a {kind.label} model; "
            "register it under its own kind"
        )


def check_sidecar(sidecar: Sidecar, facts: GraphFacts, *, name: str, sha256: str | None) -> None:
    """Compare a sidecar with the graph beside it: names, shapes, opset, and SHA-256 unless None.

    Raises:
        UserError: names the first key that differs, with both values.
    """
    claims = {
        "input_name": (sidecar.input_name, facts.input.name),
        "output_name": (sidecar.output_name, facts.output.name),
        "input_shape": (sidecar.input_shape, facts.input.shape),
        "output_shape": (sidecar.output_shape, facts.output.shape),
        "onnx_opset": (sidecar.onnx_opset, facts.opset),
    }
    if sha256 is not None:
        claims["sha256"] = (sidecar.sha256, sha256)
    for key, (claimed, found) in claims.items():
        if claimed != found:
            raise UserError(
                f"{name}: {key} is {claimed!r} but the ONNX file has {found!r}; run `vmaf-train register`"
            )
    check_kind(facts, sidecar.kind, name=name)


def check_row(sidecar: Sidecar, entry: Entry, *, name: str) -> None:
    """Compare a sidecar with its row of the registry.

    Raises:
        UserError: names the first key that differs, with both values.
    """
    claims = {
        "name": (sidecar.name, entry.id),
        "kind": (sidecar.kind.label, entry.kind.label),
        "onnx_opset": (sidecar.onnx_opset, entry.opset),
        "sha256": (sidecar.sha256, entry.sha256),
        "licence": (sidecar.licence, entry.licence),
        "provenance": (sidecar.provenance, entry.provenance),
        "quant_mode": (sidecar.quant_mode or "fp32", entry.quant_mode),
    }
    for key, (claimed, found) in claims.items():
        if claimed != found:
            raise UserError(
                f"{name}: {key} is {claimed!r} but the registry has {found!r}; run `vmaf-train register`"
            )
