"""What a user brings: the paths that params.yaml names, checked before `fetch` reads anything of them.

`dvc.yaml` names the same paths as dependencies of `fetch`, so they are taken as DVC takes them: relative to
the repository, without `~`.
"""

from __future__ import annotations

from pathlib import Path

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout


def own_path(key: str, value: str, layout: Layout) -> Path:
    """The file or folder that parameter `key` names by `value`, relative to the repository or absolute.

    Raises:
        UserError: no value, a path that starts with `~`, or nothing there.
    """
    if not value:
        raise UserError(f"{key} is empty in params.yaml; give a path")
    path = layout.root / value
    if not path.exists():
        tilde = " (DVC expands no ~: write the path in full)" if value.startswith("~") else ""
        raise UserError(f"{key} is {value!r}, which does not exist{tilde}; correct it in params.yaml")
    return path


def own_folder(key: str, value: str, layout: Layout) -> Path:
    """As `own_path`, for a folder to take files from.

    Raises:
        UserError: as in `own_path`, or it is no folder, lies in `data/corpus` or holds it: `fetch` would
            delete what it reads, or take in what it wrote before.
    """
    folder = own_path(key, value, layout)
    if not folder.is_dir():
        raise UserError(f"{key} is {value!r}, which is no folder; correct it in params.yaml")
    inside, corpus = folder.resolve(), layout.corpus.resolve()
    if inside.is_relative_to(corpus):
        raise UserError(f"{key} is {value!r} in {layout.corpus}, which fetch replaces; move the folder away")
    if corpus.is_relative_to(inside):
        raise UserError(
            f"{key} is {value!r}, which holds {layout.corpus}, and fetch would take its own output in; "
            "put what is yours into a folder of its own"
        )
    return folder
