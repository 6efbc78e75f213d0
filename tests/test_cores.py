"""Workers are one a core that this process may use, unless a number is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmaf_train.cores import quota, worker_count


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


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the kernel's control groups, on a machine of 16 cores."""
    monkeypatch.setattr("vmaf_train.cores.GROUPS", tmp_path)
    monkeypatch.setattr("vmaf_train.cores.OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr("vmaf_train.cores._cores", lambda: 16)
    return tmp_path


@pytest.mark.parametrize(
    ("own", "files", "allowed"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, 0),
        ("0::/", {"cpu.max": "1600000 100000"}, 0),
        ("0::/", {}, 0),
        ("0::/a.slice/b.service", {"a.slice/b.service/cpu.max": "300000 100000"}, 3),
        ("0::/a.slice/b.service", {"a.slice/b.service/cpu.max": "max 9", "a.slice/cpu.max": "40 10"}, 4),
        ("0::/a.slice/b.service", {"other/cpu.max": "300000 100000"}, 0),
        ("1:name=systemd:/x\n0::/", {"cpu.max": "200000 100000"}, 2),
        ("3:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "250000", "cpu/x/cpu.cfs_period_us": "50000"}, 5),
        ("3:cpu,cpuacct:/x", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "50000"}, 5),
        ("3:cpu,cpuacct:/x", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 0),
        ("3:cpuset:/", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "50000"}, 0),
        ("0::/", {"cpu.max": "not what the kernel writes"}, 0),
        ("0::/", {"cpu.max": "100000 0"}, 0),
    ],
)
def test_a_quota_of_a_container_or_of_systemd_counts_as_cores(
    groups: Path, own: str, files: dict[str, str], allowed: int
) -> None:
    (groups / "own").write_text(f"{own}\n")
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(f"{text}\n")
    assert quota() == allowed
    assert worker_count(0) == (allowed or 16)
    assert worker_count(3) == 3


def test_where_there_are_no_control_groups_all_cores_are_used(groups: Path) -> None:
    assert quota() == 0
    assert worker_count(0) == 16
