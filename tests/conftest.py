"""Fixtures that several test files share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from vmaf_train.camera import Frames
from vmaf_train.layout import Layout
from vmaf_train.params import Params
from vmaf_train.params_reader import parse_params
from vmaf_train.scenes import render_clip

ROOT = Path(__file__).resolve().parents[1]

# jobs in the background of a script ignore Ctrl-C, and so would the commands that tests start and stop
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest file first: with `pytest -n 2` the others run beside it."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


@pytest.fixture(scope="session")
def raw_params() -> Callable[..., dict[str, Any]]:
    """Return a builder: the project's own params.yaml with some keys changed, as plain values."""

    def build(**changes: Any) -> dict[str, Any]:
        raw: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
        for path, value in changes.items():
            *parents, last = path.split("__")
            section = raw
            for parent in parents:
                section = section[parent]
            section[last] = value
        return raw

    return build


@pytest.fixture(scope="session")
def make_params(raw_params: Callable[..., dict[str, Any]]) -> Callable[..., Params]:
    """Return a builder of `Params`: `make_params(corpus__synthetic__scenes=4)` changes one key."""
    return lambda **changes: parse_params(raw_params(**changes))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty repository of one's own."""
    return Layout(tmp_path)


@pytest.fixture(scope="session")
def pristine() -> Frames:
    """Four rendered frames of 192x128, which tests must not change."""
    return render_clip("0005", 1, 192, 128, 4)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that keeps the clips of `known_clip` for the whole session."""
    return tmp_path_factory.mktemp("known")
