"""Parameters that make `fit` small enough for a test, and its command in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from vmaf_train.layout import Layout

NR, FILTER = "nr_metric_v1", "learned_filter_v1"
# 3 batches an epoch, 32-pixel crops
SMALL = {
    "nr_metric_v2__net__width": 4, "nr_metric_v2__capped__batch_size": 4,
    "nr_metric_v2__capped__crop": 0, "nr_metric_v2__capped__steps_scale": 1.0,
    "nr_metric_v3__net__width": 4, "nr_metric_v3__capped__batch_size": 4,
    "nr_metric_v3__capped__steps_scale": 1.0,
    f"{NR}__net__width": 4, f"{NR}__capped__batch_size": 4,
    f"{NR}__capped__crop": 48, f"{NR}__capped__steps_scale": 1.0,
    f"{FILTER}__net__channels": 4, f"{FILTER}__net__blocks": 1,
    f"{FILTER}__capped__batch_size": 4, f"{FILTER}__capped__crop": 32,
    f"{FILTER}__capped__steps_scale": 1.0,
}  # fmt: skip


def start_fit(layout: Layout, raw: dict[str, Any], model: str) -> subprocess.Popen[str]:
    """Start `vmaf-train fit` on the processor, with `raw` as its params.yaml and `tmp` for its scratch."""
    with open(layout.params, "w") as file:
        YAML().dump(raw, file)
    (layout.root / "tmp").mkdir()
    names = {"TMPDIR": str(layout.root / "tmp"), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    # torch makes this folder when it is imported, among the temporary files unless told
    names["TORCHINDUCTOR_CACHE_DIR"] = str(layout.root.with_name("inductor"))
    return subprocess.Popen(
        [Path(sys.executable).with_name("vmaf-train"), "fit", model],
        cwd=layout.root,
        env=os.environ | names,
        # under nohup the tests themselves ignore SIGHUP, and a command that begins so goes on ignoring it
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
