"""A look at an ONNX file's bytes before they are parsed: how many protobuf fields, and readable names?

Two bytes on disk can become hundreds in memory (an empty node), so a file inside the size cap could
still take gigabytes; this counts the fields first, without making any of them.
"""

from __future__ import annotations

from typing import Any

from vmaf_train.errors import UserError

# our models have about two thousand
MAX_FIELDS = 200_000
# the limit of the protobuf library itself
MAX_DEPTH = 100
MAX_NAME_BYTES = 1024
# fields of free text; the rest are names
_PROSE = frozenset({"doc_string", "value"})

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_fields(data: bytes, *, name: str) -> int:
    """Count the fields of a serialised ONNX model, those of its inner messages included.

    Raises:
        UserError: more than 200,000 fields, messages nested deeper than 100, a name that cannot be
            printed, or bytes that are no protobuf message.
    """
    from onnx import ModelProto

    pending: list[tuple[int, int, Any, int]] = [(0, len(data), ModelProto.DESCRIPTOR, 1)]
    count = 0
    while pending:
        place, end, descriptor, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise UserError(f"{name}: nested deeper than {MAX_DEPTH} messages; export the model again")
        fields = descriptor.fields_by_number
        while place < end:
            count += 1
            if count > MAX_FIELDS:
                raise UserError(
                    f"{name}: more than {MAX_FIELDS} protobuf fields: it would fill the memory; "
                    "export a smaller model"
                )
            tag, place = _varint(data, place, end, name)
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                _, place = _varint(data, place, end, name)
            elif wire == _LENGTH:
                size, place = _varint(data, place, end, name)
                field = fields.get(number)
                if field is not None and field.message_type is not None:
                    pending.append((place, place + size, field.message_type, depth + 1))
                elif field is not None and field.type == field.TYPE_STRING:
                    _check_string(data[place : place + size], field.name, name)
                place += size
            elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
                place += 8 if wire == _EIGHT_BYTES else 4
            else:
                raise _malformed(name)
            if place > end:
                raise _malformed(name)
    return count


def _check_string(text: bytes, field: str, name: str) -> None:
    if field in _PROSE:
        valid = _decodes(text)
    else:
        # a name is quoted in messages, so it may not carry line breaks or terminal codes
        valid = len(text) <= MAX_NAME_BYTES and _decodes(text) and text.decode().isprintable()
    if not valid:
        raise UserError(
            f"{name}: {field!r} in it is not printable UTF-8 of at most {MAX_NAME_BYTES} bytes; "
            "export the model again"
        )


def _decodes(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _varint(data: bytes, place: int, end: int, name: str) -> tuple[int, int]:
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise _malformed(name)


def _malformed(name: str) -> UserError:
    return UserError(f"{name}: not an ONNX file (not a protobuf message); rebuild or fetch it again")
