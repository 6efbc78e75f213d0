"""Sources: which modules a module needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmaf_train import sources
from vmaf_train.sources import all_imports, direct_imports, package_folder, sources_sha256


def test_imports_are_followed_to_any_depth_and_into_functions(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    from vmaf_train.b import g\n    g()\n")
    (tmp_path / "b.py").write_text("from vmaf_train import c\nimport vmaf_train.d\n")
    (tmp_path / "c.py").write_text("")
    (tmp_path / "d.py").write_text("import numpy\n")
    (tmp_path / "e.py").write_text("")
    assert direct_imports("a", tmp_path) == {"b"}
    assert all_imports("a", folder=tmp_path) == ["a", "b", "c", "d"]


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("if TYPE_CHECKING:\n    from vmaf_train.b import g\n")
    (tmp_path / "b.py").write_text("")
    assert direct_imports("a", tmp_path) == set()


def test_two_modules_that_import_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from vmaf_train.b import x\n")
    (tmp_path / "b.py").write_text("from vmaf_train.a import x\n")
    assert all_imports("a", folder=tmp_path) == ["a", "b"]


def test_the_hash_changes_with_any_source_it_covers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("from vmaf_train.b import x\n")
    (tmp_path / "b.py").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("")
    monkeypatch.setattr(sources, "package_folder", lambda: tmp_path)
    before = sources_sha256("a")
    (tmp_path / "other.py").write_text("y = 2\n")
    assert sources_sha256("a") == before
    (tmp_path / "b.py").write_text("x = 2\n")
    assert sources_sha256("a") != before


LOW = ("errors", "files", "kinds", "layout", "params")


@pytest.mark.parametrize("module", LOW)
def test_low_layers_import_low_layers_only(module: str) -> None:
    assert set(all_imports(module)) <= set(LOW)


def test_no_module_imports_the_command_line() -> None:
    for path in package_folder().glob("*.py"):
        assert "cli" not in direct_imports(path.stem), path
