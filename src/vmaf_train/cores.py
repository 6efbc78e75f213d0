"""How many cores this process may use."""

from __future__ import annotations

import os


def worker_count(workers: int) -> int:
    """`workers`, or the number of cores this process may use when it is 0."""
    if workers:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
