"""The schema files in git are those that the code checks with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from vmaf_train.errors import UserError
from vmaf_train.schemas import REGISTRY_SCHEMA, SCHEMA_FILES, SIDECAR_SCHEMA, validate, write_schemas

MODELS = Path(__file__).resolve().parents[1] / "model" / "tiny"


def test_the_schema_files_in_git_are_written_from_the_code(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    for name in SCHEMA_FILES:
        assert (MODELS / name).read_bytes() == (tmp_path / name).read_bytes()


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema of an object whose keys are listed, the inner ones too."""
    if isinstance(schema, dict) and schema.get("type") == "object" and "properties" in schema:
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from objects(inner)


@pytest.mark.parametrize("name", SCHEMA_FILES)
def test_schemas_are_valid_and_closed_at_every_depth(name: str) -> None:
    schema = json.loads((MODELS / name).read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    found = list(objects(schema))
    assert len(found) > 2
    assert all(one["additionalProperties"] is False for one in found)


def test_a_problem_names_file_place_and_reason() -> None:
    with pytest.raises(UserError, match=r"^r\.json: models\[0\]: 'id' is a required property; run"):
        validate({"schema_version": 1, "models": [{}]}, REGISTRY_SCHEMA, name="r.json")
    with pytest.raises(UserError, match=r"^s\.json: the top level: "):
        validate({}, SIDECAR_SCHEMA, name="s.json")
