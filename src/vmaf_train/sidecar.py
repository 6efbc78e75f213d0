"""The sidecar `<id>.json` beside each ONNX file: one schema, one writer, one reader.

libvmaf's C client searches the text for the first `"key"`, so the keys that it reads come first and
no text before or after may look like one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from vmaf_train.errors import UserError
from vmaf_train.files import json_text, write_text
from vmaf_train.kinds import Kind
from vmaf_train.params import LabelKind, Sampling
from vmaf_train.regular_files import read_regular
from vmaf_train.schemas import SIDECAR_SCHEMA, validate
from vmaf_train.strict_json import parse_object

MAX_BYTES = 2**20
LUMA = "Y plane as coded, divided by 2^bits - 1 (8-bit: 255, 10-bit: 1023); no range expansion"
# what `frames` and `score` do, unlike `filter`
METRIC_LUMA = (
    "Y plane as coded, deeper video first divided by 2^(bits - 8) and rounded to 8 bits, then all divided by "
    "255; no range expansion"
)
# what the C client looks for
CLIENT_KEYS = ("name", "kind", "input_name", "output_name", "onnx_opset", "quant_mode")
_FIRST_KEYS = ["name", "kind", "input_name", "output_name", "onnx_opset"]


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What a model takes, gives and was trained on; each field is a key of the file, in this order."""

    name: str
    kind: Kind
    input_name: str
    output_name: str
    onnx_opset: int
    description: str
    input_shape: tuple[int | str, ...]
    output_shape: tuple[int | str, ...]
    input_range: tuple[float, float] = (0, 1)
    output_range: tuple[float, float]
    luma: str = LUMA
    sampling: Sampling | None = None
    """How a frame of another size becomes a metric's input; None: by area, or the model takes any size."""
    score_range: tuple[float, float] | None = None
    score_direction: Literal["higher-is-better", "lower-is-better"] | None = None
    sha256: str
    corpus: str
    label_kind: LabelKind
    split_counts: Mapping[str, int]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    licence: str
    quant_mode: Literal["static_qdq"] | None = None
    """Only when `<id>.int8.onnx` lies beside: the C client then opens that file instead."""
    specialized_from: Mapping[str, str] | None = None
    """`id` and `sha256` of the registered model that a fixed-size copy was made from."""


def sidecar_text(sidecar: Sidecar, *, name: str = "sidecar") -> str:
    """The file's text: keys in the order of `Sidecar`, unset optional ones left out.

    Raises:
        UserError: a value outside the schema, a text that the C client would misread, or 1 MiB exceeded.
    """
    value: dict[str, Any] = {}
    for field in fields(sidecar):
        item = getattr(sidecar, field.name)
        if item is None and field.name in ("sampling", "quant_mode", "specialized_from"):
            continue
        if isinstance(item, Kind):
            item = item.label
        value[field.name] = list(item) if isinstance(item, tuple) else item
    validate(value, SIDECAR_SCHEMA, name=name)
    try:
        text = json_text(value)
    except ValueError as error:
        raise UserError(f"{name}: {error}; a metric must be a finite number") from error
    _check_client_view(text, value, name)
    return text


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write `sidecar_text`, whole or not at all."""
    write_text(path, sidecar_text(sidecar, name=path.name))


def read_sidecar(path: Path) -> Sidecar:
    """Read and check a sidecar file.

    Raises:
        UserError: missing, larger than 1 MiB, not strict JSON, or outside the schema.
    """
    return parse_sidecar(read_regular(path, limit=MAX_BYTES), name=str(path))


def parse_sidecar(data: bytes, *, name: str) -> Sidecar:
    """Check the bytes of a sidecar; `name` is used in messages only.

    Raises:
        UserError: not strict JSON, outside the schema, or a text that the C client would misread.
    """
    value = parse_object(data, name=name)
    validate(value, SIDECAR_SCHEMA, name=name)
    _check_client_view(data.decode(), value, name)
    for key in ("input_shape", "output_shape", "input_range", "output_range", "score_range"):
        value[key] = tuple(value[key]) if value[key] is not None else None
    return Sidecar(**{**value, "kind": Kind.from_label(value["kind"])})


def _check_client_view(text: str, value: Mapping[str, Any], name: str) -> None:
    if len(text.encode()) > MAX_BYTES:
        raise UserError(f"{name}: more than {MAX_BYTES} bytes; libvmaf refuses it: leave out some metrics")
    for key in CLIENT_KEYS:
        place = text.find(f'"{key}"')
        follows = text[place + len(key) + 2 :].lstrip()
        # json_text indents the keys of the top level by two spaces
        line = text[text.rfind("\n", 0, place) + 1 : place] if place >= 0 else ""
        if (place >= 0) != (key in value) or (place >= 0 and (line != "  " or not follows.startswith(":"))):
            raise UserError(
                f'{name}: the first text "{key}" is not the top-level key, and libvmaf would read that one; '
                "rename the value or the metric"
            )
    first = list(value)[: len(_FIRST_KEYS)]
    if first != _FIRST_KEYS:
        raise UserError(f"{name}: the first keys are {first}, not {_FIRST_KEYS}; run `vmaf-train register`")
