"""Static QDQ int8 against float: time a frame of each model, with 2 threads.

    python bench/int8.py [--models learned_filter_v2] [--size 1920x1080]

The int8 files are those of the stage `quantize` (data/int8/<id>/). Both run on the same frame in turn;
the smallest time of each counts. A metric runs on its 224x224 frame.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
from machine import machine, markdown, program

from vmaf_train.files import made_by
from vmaf_train.graph import check_graph
from vmaf_train.layout import Layout
from vmaf_train.params_reader import read_params
from vmaf_train.session import make_session

ROUNDS = 15
ROOT = Path(__file__).resolve().parents[1]


def smallest(sessions: list[object], frame: object) -> list[float]:
    """Milliseconds of one run of each session, in turn."""
    best = [math.inf] * len(sessions)
    for _ in range(ROUNDS):
        for index, session in enumerate(sessions):
            begin = time.perf_counter()
            session.run(None, {session.get_inputs()[0].name: frame})  # type: ignore[attr-defined]
            best[index] = min(best[index], (time.perf_counter() - begin) * 1e3)
    return best


def main(
    models: list[str] = [],  # noqa: B006
    size: str = "1920x1080",
    threads: int = 2,
    root: Path = ROOT,
) -> None:
    """Time the models of params.yaml, or those named."""
    layout = Layout(root)
    params = read_params(layout.params)
    width, height = (int(side) for side in size.split("x"))
    rows = []
    for model in models or list(params.models):
        float_data = made_by(layout.onnx(model), f"export {model}").read_bytes()
        int8_path = layout.int8(model) / f"{model}.int8.onnx"
        int8_data = made_by(int8_path, f"quantize {model}").read_bytes()
        fixed = params.model(model).kind == "nr"
        shape = (1, 1, 224, 224) if fixed else (1, 1, height, width)
        frame = np.random.default_rng(0).random(shape, np.float32)
        sessions = [make_session(data, name=model, threads=threads) for data in (float_data, int8_data)]
        real, rounded = smallest(sessions, frame)
        parameters = check_graph(float_data, name=model).parameters
        cells = [f"{real:.2f}", f"{rounded:.2f}", f"{rounded / real:.2f}"]
        rows.append((model, f"{shape[3]}x{shape[2]}", f"{parameters:,}", *cells))
    print(f"{machine()}, {threads} threads\n")
    markdown(("model", "frame", "parameters", "float, ms", "int8, ms", "int8 / float"), rows)


if __name__ == "__main__":
    program(main)
