"""`vmaf-train verify`: the whole model directory against its registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vmaf_train.errors import UserError
from vmaf_train.graph import GraphFacts, check_graph
from vmaf_train.registered import (
    check_hash,
    check_kind,
    check_row,
    check_sidecar,
    read_model,
    read_sidecar_of,
)
from vmaf_train.registry import NAME, Entry, read_registry
from vmaf_train.regular_files import inside, read_regular
from vmaf_train.schemas import SCHEMA_FILES
from vmaf_train.sidecar import MAX_BYTES
from vmaf_train.sign import Verifier, verify_signature, verifying_config
from vmaf_train.strict_json import parse_object
from vmaf_train.terminal import print_table

# file names that could hold a graph or its weights
_MODEL_SUFFIXES = frozenset({".onnx", ".ort", ".data", ".pb", ".weights"})


@dataclass(frozen=True)
class Check:
    """One check of one model, or of the directory as a whole."""

    subject: str
    """A model id, or `registry`."""
    check: str
    problem: str | None
    """One line; None when the check passed."""


def verify(folder: Path, *, verifier: Verifier | None = None) -> list[Check]:
    """Check everything in a model directory; every problem is found, not only the first.

    Registry, schema files, stray models; for each row: file (inside, regular, at most 50 MiB), SHA-256,
    graph (opset, IR, operators at every depth, Loop bounds, no external data, ONNX checker), kind,
    sidecar against schema, registry and graph, the int8 file; with a `verifier` the signatures too.

    Returns:
        One `Check` a check made.

    Raises:
        UserError: a `verifier` that cannot be used.
    """
    checks: list[Check] = []
    if verifier is not None:
        verifying_config(verifier)  # an unusable key is one mistake, not one a model
    try:
        entries = read_registry(folder / NAME).entries
    except UserError as error:
        return [Check("registry", "rows", str(error))]
    checks.append(Check("registry", "rows", None if entries else f"{folder / NAME}: no row; run `dvc repro`"))
    checks += [_attempt("registry", name, partial(_check_schema, folder, name)) for name in SCHEMA_FILES]
    checks.append(_attempt("registry", "stray files", partial(_check_strays, folder, entries)))
    for entry in entries:
        checks += _check_entry(entry, folder)
        if verifier is not None:
            checks.append(_attempt(entry.id, "signature", partial(verify_signature, entry, folder, verifier)))
    return checks


def _attempt(subject: str, check: str, action: Callable[[], object]) -> Check:
    try:
        action()
    except UserError as error:
        return Check(subject, check, str(error))
    return Check(subject, check, None)


def _check_schema(folder: Path, name: str) -> None:
    path = folder / name
    found = parse_object(read_regular(path, limit=MAX_BYTES), name=str(path))
    if found != SCHEMA_FILES[name]:
        raise UserError(f"{path}: not the schema that this version checks with; run `vmaf-train register`")


def _check_strays(folder: Path, entries: tuple[Entry, ...]) -> None:
    named = {entry.file for entry in entries} | {entry.int8_file for entry in entries}
    for path in sorted(folder.rglob("*")):
        relative = str(path.relative_to(folder))
        if path.is_symlink():
            inside(path, folder)
        if _MODEL_SUFFIXES.intersection(path.suffixes) and relative not in named:
            raise UserError(f"{path}: no row of {NAME} names this file; register it or remove it")


def _check_entry(entry: Entry, folder: Path) -> Iterator[Check]:
    facts: GraphFacts | None = None
    files = [("", entry.file, entry.sha256)]
    if entry.int8_file is not None and entry.int8_sha256 is not None:
        files.append(("int8 ", entry.int8_file, entry.int8_sha256))
    for prefix, file, expected in files:
        path = folder / file
        try:
            data = read_model(path, folder)
        except UserError as error:
            yield Check(entry.id, f"{prefix}file", str(error))
            continue
        yield Check(entry.id, f"{prefix}file", None)
        same = partial(check_hash, data, expected, name=str(path))
        yield _attempt(entry.id, f"{prefix}SHA-256", same)
        try:
            found = check_graph(data, name=str(path))
            check_kind(found, entry.kind, name=str(path))
        except UserError as error:
            yield Check(entry.id, f"{prefix}graph", str(error))
            continue
        yield Check(entry.id, f"{prefix}graph", None)
        facts = facts or found
    yield _attempt(entry.id, "sidecar", partial(_check_sidecar, entry, folder, facts))


def _check_sidecar(entry: Entry, folder: Path, facts: GraphFacts | None) -> None:
    sidecar = read_sidecar_of(entry, folder)
    check_row(sidecar, entry, name=str(folder / entry.sidecar))
    if facts is not None:
        check_sidecar(sidecar, facts, name=str(folder / entry.sidecar), sha256=entry.sha256)


def report(folder: Path, *, verifier: Verifier | None = None) -> None:
    """Print what `verify` found: a table (see `print_table`), then one line a problem.

    Raises:
        UserError: there is a problem; the first one is named.
    """
    checks = verify(folder, verifier=verifier)
    problems = [check.problem for check in checks if check.problem is not None]
    rows = [(one.subject, one.check, "passed" if one.problem is None else "FAILED") for one in checks]
    print_table(("model", "check", "result"), rows, str(folder))
    for problem in problems:
        print(problem)
    if problems:
        raise UserError(f"{len(problems)} of {len(checks)} checks failed, first: {problems[0]}")
