"""The house: one test file a module, no module too long to read at a sitting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vmaf_train.sources import direct_imports, package_folder

MODULES = sorted(path.stem for path in package_folder().glob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_a_test_file_of_its_name(module: str) -> None:
    name = "init" if module == "__init__" else module
    assert (Path(__file__).parent / f"test_{name}.py").is_file()


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_300_lines(module: str) -> None:
    assert len((package_folder() / f"{module}.py").read_text("utf-8").splitlines()) <= 300


HOUSE = (Path(__file__).resolve().parents[1] / "docs" / "house.md").read_text("utf-8")
# floor -> its modules, and what the map says that they may import
FLOORS = {
    name: (set(re.findall(r"\w+", modules)), allowed)
    for name, modules, allowed in re.findall(r"^\| (\w+) \| (.*`.*) \| (.*) \|$", HOUSE, re.MULTILINE)
}


def may_import(floor: str) -> set[str]:
    modules, allowed = FLOORS[floor]
    names = list(FLOORS)
    floors = set(re.findall(r"\w+", allowed)) & set(names)
    if "all above" in allowed:
        floors |= set(names[: names.index(floor)])
    if "everything" in allowed:
        floors |= set(names)
    single = set(re.findall(r"`(\w+)`", allowed))
    for other in floors:
        # "corpus' `mos`" opens that one module, not its floor
        if not re.search(rf"\b{other}'s? `", allowed):
            single |= FLOORS[other][0]
    return modules | single


def test_the_map_of_the_house_has_every_module_on_one_floor() -> None:
    placed = [module for modules, _ in FLOORS.values() for module in modules]
    assert sorted(placed) == sorted(set(MODULES) - {"__init__"})


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_imports_what_the_map_does_not_allow(floor: str) -> None:
    for module in FLOORS[floor][0]:
        assert direct_imports(module) <= may_import(floor), module
