"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def worker_count(workers: int) -> int:
    """`workers`, or the number of cores this process may use when it is 0."""
    return workers or quota() or _cores()


def quota() -> int:
    """How many cores' time a container or systemd allows this process; 0: that of all cores it sees.

    A part of a core counts as one. Libraries see the cores alone, and start a thread for each of them.

    Source: Linux, admin-guide/cgroup-v2.rst (`cpu.max`) and scheduler/sched-bwc.rst (`cpu.cfs_quota_us`).
    """
    allowed = min(map(math.ceil, _limits()), default=0)
    return allowed if allowed < _cores() else 0


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _limits() -> Iterator[float]:
    """Each limit that is set on a group of this process or on one above it, in cores."""
    try:
        groups = [line.split(":", 2) for line in OWN_GROUPS.read_text().splitlines()]
    except OSError:  # not Linux
        return
    for number, controllers, group in groups:
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        top = GROUPS if number == "0" else GROUPS / "cpu"
        # containers see their own group at the top, whatever its path is outside
        place = top / group.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(top):
                yield from _limit(folder)


def _limit(folder: Path) -> Iterator[float]:
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            allowed, period = " ".join((folder / name).read_text() for name in names).split()
            if int(allowed) > 0:  # -1 is no limit
                yield int(allowed) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # no such file, or `max`, which is no limit
            continue
