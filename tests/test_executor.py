from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil
import pytest
from distributed import LocalCluster

from vmaf_train.cores import worker_count
from vmaf_train.errors import UserError
from vmaf_train.executor import map_ordered
from vmaf_train.params import Compute

LOCAL = Compute(engine="local", workers=2, dask_address="")


def slower_first(number: int) -> int:
    time.sleep(0.02 if number % 7 == 0 else 0)
    return number * number


def refuse_threes(number: int) -> int:
    if number % 3 == 0:
        raise UserError(f"clip {number} is bad")
    return number


def die_on_five(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def read_from(name: str) -> bytes:
    return Path(name).read_bytes()


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as made:
        yield made


@pytest.mark.parametrize("count", [0, 1, 60])
def test_results_come_in_the_order_of_the_items(count: int) -> None:
    assert list(map_ordered(slower_first, range(count), LOCAL, "test")) == [n * n for n in range(count)]


def test_errors_of_single_items_are_yielded_in_their_place() -> None:
    results = list(map_ordered(refuse_threes, range(7), LOCAL, "test"))
    assert [str(r) if isinstance(r, UserError) else r for r in results] == [
        *("clip 0 is bad", 1, 2, "clip 3 is bad", 4, 5, "clip 6 is bad")
    ]


def test_a_worker_that_dies_costs_its_own_item_alone() -> None:
    results = list(map_ordered(die_on_five, range(20), LOCAL, "test"))
    assert [r for r in results if not isinstance(r, UserError)] == [n for n in range(20) if n != 5]
    assert str(results[5]).startswith("5: the worker process died on it")


def test_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    class Watched(list[int]):
        def __getitem__(self, index: int) -> int:  # type: ignore[override]
            taken.append(index)
            return super().__getitem__(index)

    results = map_ordered(slower_first, Watched(range(1000)), LOCAL, "test")
    for _ in range(10):
        next(results)
    results.close()  # type: ignore[attr-defined]
    assert max(taken) < 10 + 4 * 2


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\nfrom vmaf_train.executor import map_ordered\nfrom vmaf_train.params import Compute\n"
        "if __name__ == '__main__':\n"
        "    compute = Compute(engine='local', workers=2, dask_address='')\n"
        "    for _ in map_ordered(time.sleep, [0.01] + [60] * 5, compute, 'x'):\n"
        "        print('started', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.kill()
        _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_dask_gives_what_local_gives_with_one_worker_killed_half_way(cluster: LocalCluster) -> None:
    compute = Compute(engine="dask", workers=0, dask_address=cluster.scheduler_address)
    results = []
    for number, result in enumerate(map_ordered(worker_count, range(1, 200), compute, "test")):
        if number == 100:
            os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)
        results.append(result)
    assert results == list(map_ordered(worker_count, range(1, 200), LOCAL, "test"))


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_a_file_that_a_worker_cannot_read_is_told_as_that_and_not_as_a_lost_cluster(
    cluster: LocalCluster, engine: Literal["local", "dask"]
) -> None:
    compute = Compute(engine=engine, workers=1, dask_address=cluster.scheduler_address)
    with pytest.raises(
        UserError, match=r"^nowhere: .*No such file.* \(on .*\); check the paths and the disk"
    ):
        list(map_ordered(read_from, [__file__, "nowhere"], compute, "test"))


def test_a_dask_run_does_not_mind_another_at_dasks_usual_port() -> None:
    compute = Compute(engine="dask", workers=1, dask_address="")
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # in use already is as good
            other.bind(("127.0.0.1", 8787))
            other.listen()
        assert list(map_ordered(worker_count, [1, 2], compute, "test")) == [1, 2]


def test_a_missing_scheduler_is_one_line_that_names_the_address() -> None:
    compute = Compute(engine="dask", workers=0, dask_address="tcp://127.0.0.1:9")
    with pytest.raises(UserError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9"):
        list(map_ordered(worker_count, [1], compute, "test"))
