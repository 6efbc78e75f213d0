"""params.yaml, read strictly: every key known, every type right, every error names its key."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

from vmaf_train.errors import UserError
from vmaf_train.params import (
    LIBVMAF_METRIC,
    MODEL_ID,
    MODEL_KINDS,
    ArchiveSizes,
    FilterModel,
    Frames,
    Model,
    NrModel,
    Params,
    Shares,
)

T = TypeVar("T")
CELL = 16  # pixels; design energies sees no less
METRIC_SIDE = 224  # pixels; the exported graph of a metric takes no other

# key path -> (lowest, highest) value allowed, both included
BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "lr": (1e-9, 10),
    "max_steps": (-1, 10**9),
    "compute.workers": (0, 4096),
    "train.num_nodes": (1, 10**5),
    "corpus.max_dropped": (0, 10**9),
    **{f"corpus.konvid_1k.min_bytes.{field.name}": (0, 10**15) for field in dataclasses.fields(ArchiveSizes)},
    "corpus.konvid_1k.max_unpacked_bytes": (1, 10**15),
    "corpus.synthetic.scenes": (1, 10**6),
    "corpus.synthetic.variants": (1, 64),
    "corpus.synthetic.touched_up": (0, 1),
    "corpus.synthetic.width": (64, 7680),
    "corpus.synthetic.height": (64, 4320),
    "corpus.synthetic.frames": (2, 1000),
    "corpus.synthetic.fps": (1, 240),
    "frames.size": (32, 1024),
    "frames.fragments.places": (0, 64),
    "frames.blur_sigma": (0, 20),
    "frames.jpeg_quality": (1, 100),
    "frames.coded.blur_sigma": (0, 20),
    "frames.coded.sharp": (0, 1),
    "frames.coded.encodes": (1, 10**4),
    "frames.coded.drift": (0, 16),
    **{f"frames.coded.shares.{field.name}": (0, 1e6) for field in dataclasses.fields(Shares)},
    # at 0 no clip is left to validate or to test on
    "split.test": (1e-6, 1),
    "split.val": (1e-6, 1),
    "width": (1, 256),
    "radius": (0, 31),
    "layers": (0, 16),
    "channels": (1, 256),
    "blocks": (0, 64),
    "stride": (1, 8),
    "separable": (0, 64),
    "quant_accuracy_budget_plcc": (0, 1),
    "lr_scale": (1e-9, 1e6),
    "steps_scale": (1e-6, 1e6),
    "weight_decay": (0, 10),
    "batch_size": (1, 65536),
    "epochs": (1, 10**6),
    "patience": (0, 10**6),
    "crop": (0, 1024),
    "gradient_clip": (0, 1e6),
    "rank_weight": (0, 1e6),
    "ema_decay": (0, 0.99999),
    "min_mos": (1, 5),
    "charbonnier": (0, 1),
}


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a parameter file.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown, missing or doubled, a value has
            the wrong type or lies outside its bounds. The text names the key and the value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no {path}: run this in the top folder of the repository") from None
    except RecursionError:
        raise UserError(f"{path} nests too deeply to be read; correct it there") from None
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(f"{path} is not valid YAML: {' '.join(lines[:4])}; correct it there") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from None
    return parse_params(raw, source=str(path))


def parse_params(raw: Any, *, source: str = "params.yaml") -> Params:
    """Turn a parsed parameter file into `Params`; errors as in `read_params`."""
    root = _mapping(raw, "", source)
    listed = _list_of_ids(root.get("models"), source)
    sections = {name: root[name] for name in listed if name in root}
    known = {field.name for field in dataclasses.fields(Params)}
    plain = {key: value for key, value in root.items() if key in known - {"models"}}
    for key in root:
        if key not in known and key not in sections and not _is_spare_model(root[key]):
            raise UserError(
                f"{source}: unknown key {key!r}; remove it, or add it to models if it is a model's section"
            )
    models: dict[str, Model] = {}
    for name in listed:
        if name not in sections:
            raise UserError(f"{source}: models lists {name!r} but there is no section {name!r}; add one")
        models[name] = _model(sections[name], name, source)
    for field in dataclasses.fields(Params):
        if field.name != "models" and field.name not in plain:
            raise UserError(f"{source}: {field.name} is missing; add it")
    hints = typing.get_type_hints(Params)
    values = {key: _value(hints[key], value, key, source) for key, value in plain.items()}
    params = Params(models=models, **values)
    if params.max_steps == 0:
        raise UserError(f"{source}: max_steps is 0; give -1 for the full recipe or a number from 1 up")
    if params.split.test + params.split.val >= 1:
        raise UserError(
            f"{source}: split.test + split.val is {params.split.test + params.split.val:g}, which leaves "
            "nothing to train on; make the sum smaller than 1"
        )
    if not sum(vars(params.frames.coded.shares).values()) > 0:
        raise UserError(f"{source}: frames.coded.shares are all 0; give at least one of them a share")
    for name, section in params.models.items():
        if isinstance(section, NrModel):
            _check_metric(name, section, params.frames, source)
        else:
            _check_filter(name, section, source)
    return params


def _check_metric(name: str, section: NrModel, frames: Frames, source: str) -> None:
    if frames.size != METRIC_SIDE:
        raise UserError(
            f"{source}: frames.size is {frames.size}, but {name} takes {METRIC_SIDE} pixels; "
            f"set it to {METRIC_SIDE}, or list filters alone under models"
        )
    fragments = section.net.sampling == "fragments"
    if fragments and not frames.fragments.places:
        raise UserError(f"{source}: {name} samples fragments, but frames.fragments.places is 0; raise it")
    if fragments and section.net.design != "energies":
        raise UserError(f"{source}: {name}.net.sampling fragments needs design energies; change one")
    if section.net.design == "energies" and section.net.radius:
        raise UserError(
            f"{source}: {name}.net.radius is {section.net.radius}, and design energies has no use for it; "
            "set it to 0"
        )
    if section.net.design == "energies" and not section.net.layers:
        raise UserError(f"{source}: {name}.net.layers is 0, and design energies needs 1 or more; raise it")
    layers, pooling = section.net.layers, section.net.pooling
    if section.net.design == "convolutional" and (layers or pooling != "mean"):
        raise UserError(
            f"{source}: {name}.net has layers {layers} and pooling {pooling}, and design convolutional "
            "has no use for them; set them to 0 and mean"
        )
    for recipe in (section.capped, section.reference):
        if recipe.batch_size < 2:
            raise UserError(
                f"{source}: {name}'s batch_size is {recipe.batch_size}, and the batch normalisation of a "
                "metric needs 2 clips or more; raise it"
            )
        if fragments and recipe.crop:
            raise UserError(f"{source}: {name} samples fragments, which no crop may cut; set crop to 0")
        if section.net.design == "energies" and 0 < recipe.crop < CELL:
            raise UserError(
                f"{source}: {name} crops {recipe.crop} pixels, less than a cell of design energies; "
                f"set crop to {CELL} or more, or to 0"
            )


def _check_filter(name: str, section: FilterModel, source: str) -> None:
    given, most = section.net.separable, section.net.blocks if section.net.stride > 1 else 0
    if given > most:
        raise UserError(
            f"{source}: {name}.net.separable is {given}; expected at most {most} (stride 1 has none)"
        )
    for which in ("capped", "reference"):
        weight = getattr(section, which).rank_weight
        if weight:
            raise UserError(
                f"{source}: {name}.{which}.rank_weight is {weight:g}, and a filter ranks nothing; set it to 0"
            )


def _is_spare_model(value: Any) -> bool:
    """A model's section that `models` does not list is allowed: it is simply not built."""
    kind = value.get("kind") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind in MODEL_KINDS


def _list_of_ids(value: Any, source: str) -> list[str]:
    ids = value if isinstance(value, list) else []
    good = [name for name in ids if isinstance(name, str) and re.fullmatch(MODEL_ID, name)]
    if not ids or len(good) != len(ids) or len(set(good)) != len(good):
        raise UserError(
            f"{source}: models is {value!r}; expected a list of different model ids such as [nr_metric_v1]: "
            "a lower-case letter, then such letters, digits and underscores, at most 64 in all"
        )
    if taken := [name for name in good if re.fullmatch(LIBVMAF_METRIC, name)]:
        raise UserError(f"{source}: models lists {taken[0]!r}, a metric of libvmaf's own; give another id")
    return good


def _model(raw: Any, name: str, source: str) -> Model:
    section = _mapping(raw, name, source)
    kind = section.get("kind")
    if not isinstance(kind, str) or kind not in MODEL_KINDS:
        raise UserError(f"{source}: {name}.kind is {kind!r}; expected one of {', '.join(MODEL_KINDS)}")
    return _section(MODEL_KINDS[kind], section, name, source)


def _mapping(value: Any, where: str, source: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{source}: {where or 'the top level'} is {value!r}; expected keys with values")
    return value


def _section(cls: type[T], raw: Any, where: str, source: str) -> T:
    given = _mapping(raw, where, source)
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, cls))]
    for key in given:
        if key not in names:
            raise UserError(f"{source}: unknown key {f'{where}.{key}'!r}; known here: {', '.join(names)}")
    for name in names:
        if name not in given:
            raise UserError(f"{source}: {where}.{name} is missing; add it")
    return cls(**{name: _value(hints[name], given[name], f"{where}.{name}", source) for name in names})


def _value(hint: Any, value: Any, where: str, source: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _section(typing.cast(Any, hint), value, where, source)
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise UserError(f"{source}: {where} is {value!r}; expected one of {', '.join(choices)}")
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and isinstance(value, str):
        return value
    if hint is str and where == "train.devices" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (hint is float or (hint is int and isinstance(value, int))):
        try:
            return _bounded(hint(value), where, source)
        except OverflowError:
            raise UserError(f"{source}: {where} has too many digits for a number; correct it") from None
    raise UserError(f"{source}: {where} is {value!r}; expected {_expected(hint, value)}")


def _bounded(value: float, where: str, source: str) -> float:
    low, high = BOUNDS.get(where, BOUNDS.get(where.rsplit(".", 1)[-1], (-math.inf, math.inf)))
    if not math.isfinite(value) or not low <= value <= high:
        raise UserError(f"{source}: {where} is {value!r}; expected a number from {low:g} to {high:g}")
    return value


def _expected(hint: type | types.UnionType, value: Any) -> str:
    word = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[
        typing.cast(type, hint)
    ]
    if isinstance(value, str) and hint in (int, float):
        try:
            return f"{word}, not text: write it without quotes, as {typing.cast(type, hint)(value)!r}"
        except ValueError:
            return word
    return word
