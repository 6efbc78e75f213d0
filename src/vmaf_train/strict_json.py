"""JSON read strictly: capped in size, one value a key, no NaN, one object at the top."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vmaf_train.errors import UserError
from vmaf_train.files import made_by


def parse_object(data: bytes, *, name: str, command: str = "register") -> dict[str, Any]:
    """Parse a JSON object; messages call it `name`, and advise `vmaf-train <command>`, which writes it.

    Raises:
        UserError: not UTF-8, not JSON, not an object at the top, nested too deeply, a key given twice,
            NaN or infinity.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise UserError(f"{name}: key {key!r} is given twice in one object; keep one of them")
            found[key] = value
        return found

    def no_constant(word: str) -> Any:
        raise UserError(f"{name}: {word} is not a JSON number; run `vmaf-train {command}` again")

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: not valid JSON ({error}); run `vmaf-train {command}` again") from error
    if not isinstance(value, dict):
        raise UserError(f"{name}: holds a JSON {type(value).__name__}, not an object")
    return value


def read_json(path: Path, command: str) -> dict[str, Any]:
    """Read a JSON object that `vmaf-train <command>` writes.

    Raises:
        UserError: as `made_by` and `parse_object`.
    """
    return parse_object(made_by(path, command).read_bytes(), name=str(path), command=command)
