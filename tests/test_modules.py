"""The house: one test file a module, no module too long to read at a sitting."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmaf_train.sources import package_folder

MODULES = sorted(path.stem for path in package_folder().glob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_a_test_file_of_its_name(module: str) -> None:
    name = "init" if module == "__init__" else module
    assert (Path(__file__).parent / f"test_{name}.py").is_file()


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_300_lines(module: str) -> None:
    assert len((package_folder() / f"{module}.py").read_text("utf-8").splitlines()) <= 300
