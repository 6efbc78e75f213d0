"""UserError: what every user's mistake becomes, in one line."""

from __future__ import annotations

import ast

import pytest

from vmaf_train.sources import package_folder

MODULES = sorted(path.stem for path in package_folder().glob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_no_message_holds_a_line_break(module: str) -> None:
    tree = ast.parse((package_folder() / f"{module}.py").read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    messages = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "UserError"]
    for message in messages:
        texts = [node.value for node in ast.walk(message) if isinstance(node, ast.Constant)]
        assert not [text for text in texts if isinstance(text, str) and "\n" in text], message.lineno
