"""Parameters that note which of them are read: real `Params`, with ears."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from vmaf_train.params import Params


class Reads(set[str]):
    """Paths such as `frames.size`, `nr_metric_v1.kind` or `models` (its ids are gone through)."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: dict[int, str] = {}
        self.kept: list[Any] = []  # or an id could be another object's later

    def of(self, params: Params) -> Params:
        """`params`, whose reads are noted here; a section that is sent to a worker counts as read."""
        heard = self._heard(params, "")
        models = {name: self._heard(section, name) for name, section in params.models.items()}
        object.__setattr__(heard, "models", Models(models, self))
        return heard

    def _heard(self, value: Any, path: str) -> Any:
        if not dataclasses.is_dataclass(value):
            return value
        heard = object.__new__(_recording(type(value), self))
        for field in dataclasses.fields(value):
            below = f"{path}.{field.name}".lstrip(".")
            object.__setattr__(heard, field.name, self._heard(getattr(value, field.name), below))
        self.paths[id(heard)] = path
        self.kept.append(heard)
        return heard


class Models(dict[str, Any]):
    """The sections by id; whoever goes through all of them has read `models`."""

    def __init__(self, sections: dict[str, Any], reads: Reads) -> None:
        super().__init__(sections)
        self.reads = reads

    def __iter__(self) -> Iterator[str]:
        self.reads.add("models")
        return super().__iter__()


def _recording(base: Any, reads: Reads) -> Any:
    names = {field.name for field in dataclasses.fields(base)}

    class Recording(base):
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            path = reads.paths.get(id(self))
            if path is None:  # a copy that the code made
                return value
            if name == "__dict__":
                reads.add(path)
            elif name in names and not dataclasses.is_dataclass(value) and not isinstance(value, Models):
                reads.add(f"{path}.{name}".lstrip("."))
            return value

        def __reduce__(self) -> Any:
            values = {name: getattr(self, name) for name in names}
            return functools.partial(base, **values), ()

    return Recording
