"""Params: sections, and which recipe is in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

from vmaf_train.params import MODEL_KINDS, Params


def test_parameters_cannot_be_changed_after_reading(make_params: Callable[..., Params]) -> None:
    with pytest.raises(FrozenInstanceError):
        make_params().lr = 1.0  # type: ignore[misc]


def test_a_models_kind_decides_its_section(make_params: Callable[..., Params]) -> None:
    for section in make_params().models.values():
        assert type(section) is MODEL_KINDS[section.kind]
