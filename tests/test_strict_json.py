"""JSON is read strictly, and every refusal is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmaf_train.errors import UserError
from vmaf_train.files import json_text
from vmaf_train.strict_json import parse_object, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_the_project_writes_is_read_back(value: dict[str, object]) -> None:
    assert parse_object(json_text(value).encode("utf-8", "surrogatepass"), name="f") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1, "a": 2}', "f: key 'a' is given twice"),
        (b'{"a": {"b": 1, "b": 1}}', "f: key 'b' is given twice"),
        (b'{"a": NaN}', "f: NaN is not a JSON number"),
        (b'{"a": -Infinity}', "f: -Infinity is not a JSON number"),
        (b"[1]", "f: holds a JSON list, not an object"),
        (b"", "f: not valid JSON"),
        (b'{"a": 1} x', "f: not valid JSON"),
        (b"\xff\xfe{}", "f: not valid JSON"),
        (b'{"a": ' + b"[" * 50_000, "f: not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "f: not valid JSON"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: bytes, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        parse_object(text, name="f")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_of_the_pipeline_names_the_command_that_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match=r"^no .*a\.json: run `vmaf-train fetch`"):
        read_json(path, "fetch")
    for text in ("{", "[]", '{"a": NaN}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r"a\.json: "):
            read_json(path, "fetch")
    path.write_text("{")
    with pytest.raises(UserError, match="run `vmaf-train fetch` again"):
        read_json(path, "fetch")
    path.write_text('{"a": 1}')
    assert read_json(path, "fetch") == {"a": 1}
