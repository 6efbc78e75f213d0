"""Command `specialize`: the copy of a registered model that libvmaf's C client loads.

The client takes no free axis and never resizes, so there is one file a resolution: input exactly
[1, 1, H, W] (8-bit luma / 255); inside a metric's graph the frame is resized, or cut in fragments, and
a filter's ends with a Clip to 0..1. A sidecar lies beside it. Both are written only after ONNX
Runtime gave on the copy what `score` or `filter` give on the same frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError
from vmaf_train.files import replacing, sha256_bytes, write_text
from vmaf_train.graph import GraphFacts, check_graph
from vmaf_train.kinds import Kind
from vmaf_train.load import LoadedModel
from vmaf_train.luma import to_unit
from vmaf_train.planes import filter_codes
from vmaf_train.resize import resize_first
from vmaf_train.score import FrameScorer
from vmaf_train.session import make_session
from vmaf_train.sidecar import sidecar_text
from vmaf_train.surgery import check_strength, clip_last, fix_shape, take_part

# beyond 16K the graph's tensors pass every limit of the loader
MAX_SIDE = 16384
# largest difference to `score` in MOS, to `filter` in code values; a pixel that lies on a half, as far as
# float32 can tell, is rounded either way, and one or two of 224x224 changed a score by up to 0.004
TOLERANCE = {Kind.NR: 1e-2, Kind.FILTER: 1.0}


@dataclass(frozen=True)
class Specialized:
    """A written copy; `difference` is to `score` (MOS) or `filter` (code values) on one frame."""

    path: Path
    sidecar: Path
    facts: GraphFacts
    difference: float


def specialize(
    model: LoadedModel, width: int, height: int, folder: Path, *, strength: float = 1.0
) -> Specialized:
    """Write `<name>_<width>x<height>.onnx` and its sidecar to `folder`.

    With a `strength` other than 1 the name ends with it in percent: `_<width>x<height>_50.onnx`.

    Args:
        model: a metric or a filter with a sidecar, from `load_model`.
        width: columns of the frames that the client will feed.
        height: rows of those frames.
        folder: where to; made when missing. Files of the same name are replaced.
        strength: of a filter, the part of its change that is applied, above 0 and at most 1.

    Raises:
        UserError: a kind the client cannot run on frames, no sidecar, a size out of range or other than
            the fixed one of the model, or a copy that breaks a rule or differs; nothing is written then.
    """
    label = f"{model.id} at {width}x{height}"
    if model.kind not in TOLERANCE:
        raise UserError(f"{model.id}: a {model.kind.label} model takes no frames; use it as it is")
    if model.is_specialized:
        raise UserError(f"{model.path} is a specialized copy already; name the model that it is of")
    if model.sidecar is None:
        raise UserError(f"{model.path}: no sidecar beside it, and libvmaf needs one; register the model")
    check_strength(strength)
    if strength != 1 and model.kind is not Kind.FILTER:
        raise UserError(f"{model.id}: strength is for filters; a score has none")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise UserError(f"{label}: width and height must be 1 to {MAX_SIDE}")
    try:
        data = specialized_bytes(model, width, height, strength)
        facts = check_graph(data, name=label)
        difference = compare(model, data, width, height, strength)
    except MemoryError:
        raise UserError(f"{label}: no memory for frames of that size; free some, or ask for less") from None
    part = "" if strength == 1 else f"_{100 * strength:g}".replace(".", "p")
    path = folder / f"{model.path.stem}_{width}x{height}{part}.onnx"
    sidecar = replace(
        model.sidecar,
        description=model.sidecar.description + (f" At strength {strength:g}." if part else ""),
        input_shape=facts.input.shape,
        output_shape=facts.output.shape,
        # it happens inside now
        sampling=None,
        sha256=sha256_bytes(data),
        # the client would open <name>.int8.onnx in place of this file
        quant_mode=None,
        specialized_from={"id": model.sidecar.name, "sha256": sha256_bytes(model.data)},
    )
    beside = path.with_suffix(".json")
    text = sidecar_text(sidecar, name=beside.name)
    # both or none
    with replacing(path) as temporary:
        temporary.write_bytes(data)
        write_text(beside, text)
    return Specialized(path, beside, facts, difference)


def specialized_bytes(model: LoadedModel, width: int, height: int, strength: float = 1.0) -> bytes:
    """The copy's bytes: the same model and size give the same bytes.

    Raises:
        UserError: a filter that is fixed to another size.
    """
    import onnx

    sides = model.facts.input.shape[2:]
    graph = onnx.load_model_from_string(model.data)
    if model.kind is Kind.NR:
        resize_first(graph, height, width, sampling=model.sampling)
    else:
        fixed = [(axis, size) for axis, size in zip(sides, (height, width), strict=True) if axis != size]
        if any(isinstance(axis, int) for axis, _ in fixed):
            raise UserError(f"{model.id}: its frames are fixed at {sides[1]}x{sides[0]}; ask for that size")
        if strength != 1:
            take_part(graph, strength)
        clip_last(graph)
    fix_shape(graph, height, width)
    return bytes(graph.SerializeToString(deterministic=True))


def compare(model: LoadedModel, data: bytes, width: int, height: int, strength: float = 1.0) -> float:
    """Run the copy and `score` (or `filter`) on one seeded frame; return the largest difference.

    Raises:
        UserError: a difference above the tolerance.
    """
    label = f"{model.id} at {width}x{height}"
    frame = _seeded_frame(height, width)
    session = make_session(data, name=label)
    copied = model.run_session(session, to_unit(frame)[None, None])
    if model.kind is Kind.NR:
        difference = abs(float(copied.reshape(())) - FrameScorer(model)(frame))
    else:
        filtered = frame.copy()
        filter_codes(filtered, 8, partial(model.run_codes, strength=strength))
        difference = float(np.max(np.abs(np.rint(copied[0, 0] * 255) - filtered)))
    if not difference <= TOLERANCE[model.kind]:
        raise UserError(f"{label}: the copy differs by {difference:g} from the model; nothing was written")
    return difference


def _seeded_frame(height: int, width: int) -> NDArray[np.uint8]:
    """Shading and noise, uint8 (height, width)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    shading = 128 + 60 * np.sin(x / 37) + 50 * np.cos(y / 23)
    noise = np.random.default_rng(0).normal(0, 6, (height, width))
    frame: NDArray[np.uint8] = np.clip(shading + noise, 0, 255).astype(np.uint8)
    return frame
