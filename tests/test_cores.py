"""Workers are one a core that this process may use, unless a number is asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vmaf_train.cores import worker_count


def test_workers_are_counted_from_the_cores_by_default() -> None:
    assert worker_count(3) == 3
    assert 1 <= worker_count(0) <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_process_that_may_use_one_core_has_one_worker() -> None:
    code = (
        "import os; from vmaf_train.cores import worker_count\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "print(worker_count(0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
