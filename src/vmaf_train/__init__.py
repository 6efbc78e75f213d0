"""Tiny perceptual-video models that anyone can rebuild, check and use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmaf_train.encode import Encoder
    from vmaf_train.errors import UserError
    from vmaf_train.filter import Filtered, filter_video
    from vmaf_train.kinds import Kind
    from vmaf_train.load import LoadedModel, load_model
    from vmaf_train.raw import Raw
    from vmaf_train.score import ClipScore, score_video

__all__ = [
    "ClipScore",
    "Encoder",
    "Filtered",
    "Kind",
    "LoadedModel",
    "Raw",
    "UserError",
    "filter_video",
    "load_model",
    "score_video",
]

_HOMES = {
    "ClipScore": "score",
    "Encoder": "encode",
    "Filtered": "filter",
    "Kind": "kinds",
    "LoadedModel": "load",
    "Raw": "raw",
    "UserError": "errors",
    "filter_video": "filter",
    "load_model": "load",
    "score_video": "score",
}


def __getattr__(name: str) -> Any:
    # nothing is imported before it is used, so that the command line answers at once
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
