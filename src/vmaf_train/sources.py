"""Which modules of this package a module needs: DVC does not follow imports, so we do.

Used for the provenance of a model and by the test that compares dvc.yaml with the code.
"""

from __future__ import annotations

import ast
from pathlib import Path

from vmaf_train.files import sha256_bytes, sha256_file

PACKAGE = "vmaf_train"


def package_folder() -> Path:
    """The folder of this package's modules."""
    return Path(__file__).parent


def direct_imports(module: str, folder: Path | None = None) -> set[str]:
    """Names of the package's modules that `module` imports, at its top or inside a function.

    Imports under `if TYPE_CHECKING:` count for nothing: they never run.
    """
    folder = folder or package_folder()
    tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == PACKAGE:
                found.update(parts[1:2] or [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found.update(parts[1] for parts in names if parts[0] == PACKAGE and len(parts) > 1)
        pending.extend(ast.iter_child_nodes(node))
    return {name for name in found if (folder / f"{name}.py").is_file()} - {module}


def all_imports(*modules: str, folder: Path | None = None) -> list[str]:
    """`modules` and every module of the package that they import, at any depth, sorted."""
    seen: set[str] = set()
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module not in seen:
            seen.add(module)
            pending.extend(direct_imports(module, folder))
    return sorted(seen)


def sources_sha256(*modules: str) -> str:
    """One hex SHA-256 over the sources of `all_imports(*modules)`, names included."""
    folder = package_folder()
    lines = [f"{sha256_file(folder / f'{name}.py')}  {name}.py\n" for name in all_imports(*modules)]
    return sha256_bytes("".join(lines).encode())
