"""Before a stage runs: its sources are those of the repository it runs in, and `dvc.yaml` fits `params.yaml`.

DVC records the hashes of the sources in its working folder. `dvc exp run --queue` and `--temp`, and a git
worktree, work in a copy, while an editable install imports the one folder that it was made in.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.params import Params

TRIED = "VMAF_TRAIN_OWN_SOURCES"  # set in the environment of the second start, so that there is no third
SIDECAR = re.compile(r"^ *- model/tiny/([a-z0-9_]+)\.json:", re.MULTILINE)
INT8 = re.compile(r"^ *- model/tiny/([a-z0-9_]+)\.int8\.onnx:", re.MULTILINE)


def run_own_sources(layout: Layout) -> None:
    """Start this command again with the sources of the repository, unless they are the ones that run.

    Raises:
        UserError: they cannot be started instead.
    """
    own = (layout.root / "src" / "vmaf_train").absolute()
    running = Path(__file__).parent
    if not own.is_dir() or own.samefile(running):
        return
    if os.environ.get(TRIED) or os.name == "nt":
        raise UserError(
            f"the code that runs is {running}, not that of this repository; set PYTHONPATH to {own.parent}, "
            "or run `pip install -e .` here"
        )
    paths = [str(own.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    again = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), TRIED: "1"}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "vmaf_train.cli", *sys.argv[1:]], again)


def check_pipeline(params: Params, layout: Layout) -> None:
    """Compare the models of `params.yaml` with the files that `dvc.yaml` lets `register` write.

    Raises:
        UserError: a model is in one of them alone, or an int8 file ships that DVC does not know, or does
            not ship though DVC waits for it.
    """
    path = layout.root / "dvc.yaml"
    if not path.is_file():
        return
    text = path.read_text("utf-8")
    declared, models = set(SIDECAR.findall(text)) - {"registry"}, set(params.models)
    if missing := sorted(models - declared):
        raise UserError(
            f"models in params.yaml names {missing[0]}, and register in dvc.yaml does not: add its lines as "
            "docs/house.md tells"
        )
    if unwanted := sorted(declared - models):
        raise UserError(
            f"register in dvc.yaml names {unwanted[0]}, and models in params.yaml does not: take its lines "
            "out as docs/house.md tells, or work on one model with `dvc repro eval@MODEL`"
        )
    ships = {model for model in models if params.model(model).quantize}
    if undeclared := sorted(ships - set(INT8.findall(text))):
        raise UserError(
            f"{undeclared[0]}.quantize is true in params.yaml: name model/tiny/{undeclared[0]}.int8.onnx "
            "among the outs of register in dvc.yaml, with cache: false and persist: true as the others"
        )
    if unmade := sorted(set(INT8.findall(text)) - ships):
        raise UserError(
            f"register in dvc.yaml names {unmade[0]}.int8.onnx, and {unmade[0]}.quantize is false in "
            "params.yaml: take the line out, or set it to true"
        )
