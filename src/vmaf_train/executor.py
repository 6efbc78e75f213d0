"""Run one function over many items, in processes of this machine or on a Dask cluster.

Both ways give the results in the order of the items, with a bounded number in flight, so the caller's
memory stays flat and its output is the same wherever the work was done.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, TypeVar

from vmaf_train.cores import worker_count
from vmaf_train.errors import UserError
from vmaf_train.params import Compute

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")
IN_FLIGHT = 4  # items submitted ahead, per worker
CONNECT_TIMEOUT = 5  # seconds until a Dask scheduler must answer
WORKER_TIMEOUT = 60  # seconds until a Dask cluster must have a worker


def map_ordered(
    function: Callable[[Item], Result], items: Sequence[Item], compute: Compute, description: str
) -> Iterator[Result | UserError]:
    """Yield `function(item)` for each item, in order, with a progress bar on stderr.

    A `UserError` of one item is yielded in its place, so that the caller can name all of them. So is a
    worker's death, which the item that it worked on is blamed for after a second try on its own.

    Args:
        function: a function at the top of a module (workers import it by name).
        items: what to work on; sent to workers by pickle.
        compute: `engine` local or dask, number of workers (0: one a core), scheduler address.
        description: the word before the progress bar.

    Raises:
        UserError: the Dask cluster cannot be reached or is lost, or a file system refuses.
    """
    run = _dask if compute.engine == "dask" else _local
    with _bar(description, len(items)) as advance:
        for result in run(function, items, compute):
            yield result
            advance()


def attempt(function: Callable[[Item], Result], item: Item) -> Result | UserError:
    """Return what `function` returns, or the `UserError` that it raises.

    Raises:
        UserError: the file system of this machine refuses, which is no fault of the item alone. Said here,
            so that the caller takes it neither for a lost cluster nor for an error of its own files.
    """
    try:
        return function(item)
    except UserError as error:
        return error
    except OSError as error:
        raise UserError(
            f"{item}: {error} (on {socket.gethostname()}); check the paths and the disk of that machine"
        ) from None


def _local(
    function: Callable[[Item], Result], items: Sequence[Item], compute: Compute
) -> Iterator[Result | UserError]:
    workers = max(1, min(worker_count(compute.workers), len(items)))
    position = 0
    while position < len(items):
        # one turn of this loop unless a worker dies
        pool = _pool(workers)
        waiting: deque[Future[Result | UserError]] = deque()
        submitted = position
        try:
            while position < len(items):
                while submitted < len(items) and len(waiting) < IN_FLIGHT * workers:
                    waiting.append(pool.submit(attempt, function, items[submitted]))
                    submitted += 1
                result = waiting.popleft().result()
                yield result
                position += 1
        except BrokenProcessPool:
            # any item in flight may be the cause: try them one by one
            for result in _one_by_one(function, items[position : position + IN_FLIGHT * workers]):
                yield result
                position += 1
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_by_one(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result | UserError]:
    pool = _pool(1)
    try:
        for item in items:
            try:
                yield pool.submit(attempt, function, item).result()
            except BrokenProcessPool:
                yield _died(item)
                pool.shutdown()
                pool = _pool(1)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _died(item: Any) -> UserError:
    return UserError(
        f"{item}: the worker process died on it (a crash, or out of memory); lower compute.workers, or take "
        "it out"
    )


def _pool(workers: int) -> ProcessPoolExecutor:
    # never fork: this process has threads (progress bar, BLAS) that a forked child would lose
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and leave with the parent even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _dask(
    function: Callable[[Item], Result], items: Sequence[Item], compute: Compute
) -> Iterator[Result | UserError]:
    with _client(compute) as client:
        from distributed import CancelledError, KilledWorker

        limit = IN_FLIGHT * max(1, sum(client.nthreads().values()))  # type: ignore[no-untyped-call]
        waiting: deque[Any] = deque()
        submitted = 0
        for item in items:
            while submitted < len(items) and len(waiting) < limit:
                # pure=False: equal clips are still separate tasks
                waiting.append(client.submit(attempt, function, items[submitted], pure=False))
                submitted += 1
            try:
                yield waiting.popleft().result()
            except KilledWorker:
                yield _died(item)
            except ModuleNotFoundError as error:
                raise UserError(f"a Dask worker lacks {error.name}: install vmaf-train there") from None
            except (CancelledError, OSError) as error:
                raise UserError(f"the Dask cluster was lost ({error}); start it and run again") from None


@contextlib.contextmanager
def _client(compute: Compute) -> Iterator[Client]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UserError(
            "compute.engine is dask, but dask.distributed is not installed; "
            "run `pip install -e '.[cluster]'` in the repository"
        ) from None
    with contextlib.ExitStack() as stack:
        if compute.dask_address:
            try:
                client = stack.enter_context(Client(compute.dask_address, timeout=CONNECT_TIMEOUT))  # type: ignore[no-untyped-call]
            except (OSError, ValueError) as error:
                raise UserError(
                    f"no Dask scheduler at {compute.dask_address} ({error}); "
                    "start one or correct compute.dask_address"
                ) from None
        else:
            cluster = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=worker_count(compute.workers),
                threads_per_worker=1,
                # any free port: at none given, Dask takes 8787 and warns where another run has it
                dashboard_address="127.0.0.1:0",
            )
            client = stack.enter_context(Client(stack.enter_context(cluster)))  # type: ignore[no-untyped-call]
        try:
            client.wait_for_workers(1, timeout=WORKER_TIMEOUT)
        except TimeoutError:
            raise UserError("the Dask cluster has no worker; start one with `dask worker ADDRESS`") from None
        yield client


@contextlib.contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, rate="")

        def advance() -> None:
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:.1f}/s" if speed else "")

        yield advance
