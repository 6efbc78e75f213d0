"""Checkpoint files: a network's weights and what it takes to rebuild it, with no code inside."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from vmaf_train.errors import UserError
from vmaf_train.files import write_bytes
from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.metric_nets import Metric
from vmaf_train.nets import build
from vmaf_train.params import FilterModel, NrModel
from vmaf_train.versions import versions

LIBRARIES = ("lightning", "numpy", "torch")  # of training


def net_config(section: NrModel | FilterModel) -> dict[str, Any]:
    """The kind and the sizes of a section's network, as plain values."""
    return {"kind": section.kind, **vars(section.net)}


def save_checkpoint(path: Path, section: NrModel | FilterModel, weights: dict[str, torch.Tensor]) -> None:
    """Write `weights`, the network's sizes and the versions of the libraries; the same give the same bytes.

    Raises:
        UserError: the file system refuses.
    """
    # through a flat copy, because the strides of a tensor's axes of length 1 are written too
    plain = {
        name: value.detach().cpu().flatten().clone().view(value.shape) for name, value in weights.items()
    }
    buffer = io.BytesIO()  # torch.save writes a file's own name into it, a buffer's it cannot
    saved = {"net": net_config(section), "state_dict": plain, "versions": versions(*LIBRARIES)}
    torch.save(saved, buffer)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, section: NrModel | FilterModel) -> Metric | LearnedFilter:
    """The trained network of a checkpoint, on the CPU and in evaluation mode.

    Raises:
        UserError: the file is missing, is no checkpoint, or holds a network of other sizes.
    """
    saved = _read(path)
    found, weights = saved["net"], saved["state_dict"]
    wanted = net_config(section)
    if found != wanted:
        raise UserError(
            f"{path} holds the network {found} but params.yaml asks for {wanted}; "
            f"run `vmaf-train fit {path.stem}` again"
        )
    net = build(section)
    try:
        net.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError):
        raise UserError(
            f"{path} is not a checkpoint (other weights); delete it and run `dvc repro`"
        ) from None
    return net.eval()


def trained_with(path: Path) -> dict[str, str]:
    """The versions of the libraries that trained a checkpoint.

    Raises:
        UserError: as `load_checkpoint`.
    """
    found: dict[str, str] = _read(path)["versions"]
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return {key: saved[key] for key in ("net", "state_dict", "versions")}
    except FileNotFoundError:
        raise UserError(f"no {path}: run `dvc repro` (or `vmaf-train fit {path.stem}`) first") from None
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, pickle.PickleError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is not a checkpoint ({reason}); delete it and run `dvc repro`") from None
