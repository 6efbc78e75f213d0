"""JSON Schemas (2020-12) of the registry and the sidecars; the files in model/tiny are written from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from vmaf_train.errors import UserError
from vmaf_train.files import write_json
from vmaf_train.graph import OPSET
from vmaf_train.params import LIBVMAF_METRIC, MODEL_ID, LabelKind, Sampling

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64}
_ID = {"type": "string", "pattern": f"^{MODEL_ID}$", "maxLength": 64}
_TEXT = {"type": "string", "minLength": 1}
_SHAPE = {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1}, _TEXT]}}
_RANGE = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
_KIND = {"enum": ["fr", "nr", "filter"]}
_PROVENANCE = {
    "description": "Content hashes of what the model was made from, and the versions of the libraries.",
    "type": "object",
    "properties": {
        "params": _HASH,
        "manifest": _HASH,
        "frames": _HASH,
        "sources": _HASH,
        "versions": {"type": "object", "additionalProperties": _TEXT, "minProperties": 1},
    },
    "required": ["params", "manifest", "frames", "sources", "versions"],
    "additionalProperties": False,
}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _closed(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [key for key in properties if key not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


_FILE = {"type": "string", "pattern": "^[a-z][a-z0-9_]*[.]", "maxLength": 80}
_ENTRY = _closed(
    {
        "id": _ID,
        "kind": _KIND,
        "file": _FILE,
        "sha256": _HASH,
        "sidecar": _FILE,
        "sidecar_sha256": _HASH,
        "opset": {"const": OPSET},
        "licence": _TEXT,
        "provenance": _PROVENANCE,
        "quant_mode": {"enum": ["fp32", "static_qdq"]},
        "int8_file": _nullable(_FILE),
        "int8_sha256": _nullable(_HASH),
        "quant_accuracy_budget_plcc": _nullable({"type": "number", "minimum": 0, "maximum": 1}),
        "sigstore_bundle": _nullable(_FILE),
    }
) | {
    "if": {"properties": {"quant_mode": {"const": "static_qdq"}}},
    "then": {
        "properties": {
            "int8_file": _FILE,
            "int8_sha256": _HASH,
            "quant_accuracy_budget_plcc": {"type": "number"},
        }
    },
    "else": {"properties": {"int8_file": {"type": "null"}, "int8_sha256": {"type": "null"}}},
}

REGISTRY_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "Registry of tiny models: the trust root of this folder",
    **_closed({"schema_version": {"const": 1}, "models": {"type": "array", "items": _ENTRY}}),
}

SIDECAR_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "What a model takes, gives and was trained on; lies beside its ONNX file",
    **_closed(
        {
            "name": _ID | {"not": {"pattern": f"^({LIBVMAF_METRIC})$"}},
            "kind": _KIND,
            "input_name": _TEXT,
            "output_name": _TEXT,
            "onnx_opset": {"const": OPSET},
            "description": _TEXT,
            "input_shape": _SHAPE,
            "output_shape": _SHAPE,
            "input_range": _RANGE,
            "output_range": _RANGE,
            "luma": _TEXT | {"description": "How a pixel of the video becomes a value of the input."},
            "sampling": {
                "enum": list(get_args(Sampling)),
                "description": "How a frame of another size becomes the input: shrunk, or cut in fragments.",
            },
            "score_range": _nullable(_RANGE),
            "score_direction": _nullable({"enum": ["higher-is-better", "lower-is-better"]}),
            "sha256": _HASH | {"description": "Of the ONNX file beside."},
            "corpus": _TEXT,
            "label_kind": {"enum": list(get_args(LabelKind))},
            "split_counts": _closed(
                {split: {"type": "integer", "minimum": 0} for split in ("train", "val", "test")}
            ),
            "metrics": {"type": "object"},
            "provenance": _PROVENANCE,
            "licence": _TEXT,
            "quant_mode": {"const": "static_qdq"},
            "specialized_from": _closed({"id": _ID, "sha256": _HASH}),
        },
        optional=("sampling", "quant_mode", "specialized_from"),
    ),
}

SCHEMA_FILES = {"registry.schema.json": REGISTRY_SCHEMA, "sidecar.schema.json": SIDECAR_SCHEMA}


def write_schemas(folder: Path) -> None:
    """Write both schema files into the model directory."""
    for name, schema in SCHEMA_FILES.items():
        write_json(folder / name, schema)


def validate(value: Any, schema: dict[str, Any], *, name: str) -> None:
    """Compare a parsed JSON value with one of the schemas.

    Raises:
        UserError: names the file, the place inside it and what is wrong there.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        place = error.json_path.removeprefix("$").removeprefix(".") or "the top level"
        raise UserError(
            f"{name}: {place}: {error.message[:200]}; run `vmaf-train register` to write it again"
        )
