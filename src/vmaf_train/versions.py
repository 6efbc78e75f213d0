"""Versions of the libraries that make a model: each stage notes its own, `register` writes them down."""

from __future__ import annotations

import importlib.metadata
import platform


def versions(*libraries: str) -> dict[str, str]:
    """The version of Python (3.11) and of some installed libraries (2.13.0)."""
    # a build's local part (`+cpu`) names the machine's kind, not the library
    found = {name: importlib.metadata.version(name).partition("+")[0] for name in libraries}
    return {"python": ".".join(platform.python_version_tuple()[:2]), **found}
