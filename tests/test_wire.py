"""Fields are counted before anything is parsed."""

from __future__ import annotations

import onnx
import pytest
from attacks import field, nested
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folder import model

from vmaf_train.errors import UserError
from vmaf_train.tensors import messages
from vmaf_train.wire import MAX_FIELDS, check_fields


def test_the_fields_of_a_model_are_its_messages_and_their_values() -> None:
    data = model()
    inner = sum(1 for _ in messages(onnx.load_model_from_string(data))) - 1
    assert inner < check_fields(data, name="m") < 10 * inner


def test_a_file_at_the_limit_passes_and_one_field_more_is_refused() -> None:
    # the graph itself is a field too
    assert check_fields(field(7, b"\x0a\x00" * (MAX_FIELDS - 1)), name="m") == MAX_FIELDS
    with pytest.raises(UserError, match="more than 200000 protobuf fields"):
        check_fields(field(7, b"\x0a\x00" * MAX_FIELDS), name="m")


def test_deep_nesting_is_refused() -> None:
    assert check_fields(nested(20), name="m") > 20
    with pytest.raises(UserError, match="nested deeper"):
        check_fields(nested(60), name="m")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_counted_or_refused_in_one_line(data: bytes) -> None:
    refusal = ""
    try:
        assert 0 <= check_fields(data, name="m") <= len(data)
    except UserError as error:
        refusal = str(error)
    assert "\n" not in refusal
