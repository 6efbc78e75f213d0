"""`model/tiny/registry.json`, the trust root: one row a model, one writer, one strict reader."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from vmaf_train.errors import UserError
from vmaf_train.files import json_text, write_text
from vmaf_train.kinds import Kind
from vmaf_train.params import MODEL_ID
from vmaf_train.regular_files import read_regular
from vmaf_train.schemas import REGISTRY_SCHEMA, validate
from vmaf_train.strict_json import parse_object

NAME = "registry.json"
MAX_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered model; each field is a key of its row, in this order."""

    id: str
    kind: Kind
    file: str
    sha256: str
    sidecar: str
    sidecar_sha256: str
    opset: int
    licence: str
    provenance: Mapping[str, Any]
    quant_mode: Literal["fp32", "static_qdq"] = "fp32"
    int8_file: str | None = None
    int8_sha256: str | None = None
    quant_accuracy_budget_plcc: float | None = None
    """The most PLCC that the int8 file may lose against the float one."""
    sigstore_bundle: str | None
    """Where the detached signature lies once the model is signed, below the model directory."""


@dataclass(frozen=True)
class Registry:
    """The rows, sorted by id."""

    entries: tuple[Entry, ...]

    def find(self, model_id: str) -> Entry:
        """The row of an id.

        Raises:
            UserError: no such row; the known ids are named.
        """
        for entry in self.entries:
            if entry.id == model_id:
                return entry
        known = ", ".join(entry.id for entry in self.entries) or "none"
        raise UserError(
            f"no registered model {model_id!r} (known: {known}); give one of these or an .onnx file"
        )


def onnx_name(model_id: str) -> str:
    """`<id>.onnx`: the only file name a row may give its float model."""
    return f"{model_id}.onnx"


def sidecar_name(model_id: str) -> str:
    """`<id>.json`: where libvmaf looks for the sidecar."""
    return f"{model_id}.json"


def int8_name(model_id: str) -> str:
    """`<id>.int8.onnx`: where libvmaf looks for the quantised model."""
    return f"{model_id}.int8.onnx"


def bundle_name(model_id: str) -> str:
    """`<id>.sig`: where the signature of a model lies."""
    return f"{model_id}.sig"


def registry_text(entries: Iterable[Entry], *, name: str = NAME) -> str:
    """The file's text: rows sorted by id.

    Raises:
        UserError: a row outside the schema, two rows of one id, or a file name that is not the id's.
    """
    rows = []
    for entry in sorted(entries, key=lambda entry: entry.id):
        row = {field.name: getattr(entry, field.name) for field in fields(entry)}
        rows.append({**row, "kind": entry.kind.label})
    value = {"schema_version": 1, "models": rows}
    _check(value, name)
    return json_text(value)


def write_registry(path: Path, entries: Iterable[Entry]) -> None:
    """Write `registry_text`, whole or not at all."""
    write_text(path, registry_text(entries, name=str(path)))


def read_registry(path: Path) -> Registry:
    """Read and check the registry.

    The bytes must be exactly those that `write_registry` gives: any other form was edited by hand.

    Raises:
        UserError: missing, larger than 1 MiB, not strict JSON, outside the schema, two rows of one id,
            or not in the written form.
    """
    name = str(path)
    if not path.exists() and not path.is_symlink():
        raise UserError(f"{name}: no registry here; run `dvc repro` to build the models and register them")
    data = read_regular(path, limit=MAX_BYTES)
    value = parse_object(data, name=name)
    _check(value, name)
    entries = [Entry(**{**row, "kind": Kind.from_label(row["kind"])}) for row in value["models"]]
    if data.decode() != registry_text(entries, name=name):
        raise UserError(f"{name}: edited by hand (not in the written form); run `vmaf-train register` again")
    return Registry(tuple(entries))


def _check(value: Mapping[str, Any], name: str) -> None:
    validate(value, REGISTRY_SCHEMA, name=name)
    seen: set[str] = set()
    for row in value["models"]:
        model_id: str = row["id"]
        if not re.fullmatch(MODEL_ID, model_id):
            raise UserError(f"{name}: id {model_id!r} is not lower-case letters, digits and underscores")
        if model_id in seen:
            raise UserError(f"{name}: two rows for the id {model_id!r}; run `vmaf-train register` again")
        seen.add(model_id)
        names = {
            "file": onnx_name(model_id),
            "sidecar": sidecar_name(model_id),
            "int8_file": int8_name(model_id),
            "sigstore_bundle": bundle_name(model_id),
        }
        for key, expected in names.items():
            if row[key] not in ((expected,) if key in ("file", "sidecar") else (expected, None)):
                raise UserError(f"{name}: {key} {row[key]!r} of {model_id!r} is not {expected!r}")
