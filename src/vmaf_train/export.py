"""Stage `export`: checkpoint to ONNX, compared with the network it came from before it is written."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError
from vmaf_train.files import write_bytes, write_json
from vmaf_train.graph import OPSET, check_graph
from vmaf_train.layout import Layout
from vmaf_train.params import Params
from vmaf_train.session import make_session
from vmaf_train.versions import versions

if TYPE_CHECKING:
    from torch import nn

TOLERANCE = 1e-4
LIBRARIES = ("onnx", "onnxruntime")
# (input name, output name, names of the input's free axes) of each kind: the contract with libvmaf
CONTRACT = {
    "nr": ("frame", "mos", {0: "batch"}),
    "filter": ("degraded", "filtered", {0: "batch", 2: "height", 3: "width"}),
}
# (batch, height, width) at which the file must equal the network
SHAPES = {
    "nr": [(1, 224, 224), (5, 224, 224)],
    "filter": [(1, 224, 224), (3, 270, 481), (2, 65, 33), (1, 1, 1)],
}


def export(model_id: str, params: Params, layout: Layout) -> None:
    """Write `model/tiny/<model_id>.onnx`: opset 17, one file, dynamic batch, allowed operators only.

    Beside it, in data/versions, go the versions of the libraries that trained and wrote it.

    Raises:
        UserError: no checkpoint, an operator that is not allowed, or an output that differs from the
            network's by more than 1e-4. The earlier file, if any, stays whole.
    """
    from vmaf_train.checkpoint import load_checkpoint, trained_with

    kind = params.model(model_id).kind
    checkpoint = layout.checkpoint(model_id)
    net = load_checkpoint(checkpoint, params.model(model_id))
    data = to_onnx(net, kind)
    check_graph(data, name=f"{model_id}.onnx")
    compare(net, data, kind, name=f"{model_id}.onnx")
    write_bytes(layout.onnx(model_id), data)
    write_json(layout.versions(model_id), trained_with(checkpoint) | versions(*LIBRARIES))


def to_onnx(net: nn.Module, kind: str) -> bytes:
    """Serialise a network of one kind; input and output names are those of the contract.

    The network is put into evaluation mode: batch normalisation is folded into the convolutions.
    """
    import torch

    source, target, axes = CONTRACT[kind]
    output_axes = axes if kind == "filter" else {0: "batch"}
    buffer: Any = io.BytesIO()  # its declared type knows paths only, its code takes both
    with warnings.catch_warnings(), torch.no_grad():
        # the newer exporter gives opset 18 and a second file for the weights, so the older one stays
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.onnx.export(
            net.eval(),
            (torch.full((1, 1, 224, 224), 0.5),),
            buffer,
            opset_version=OPSET,
            input_names=[source],
            output_names=[target],
            dynamic_axes={source: axes, target: output_axes},
            dynamo=False,
        )
    return _with_one_channel(buffer.getvalue()) if kind == "filter" else bytes(buffer.getvalue())


def _with_one_channel(data: bytes) -> bytes:
    """Declare the output's channel axis as 1: the exporter cannot follow it through a transposition."""
    import onnx

    model = onnx.load_model_from_string(data)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    return bytes(model.SerializeToString(deterministic=True))


def compare(net: nn.Module, data: bytes, kind: str, *, name: str) -> float:
    """Run network and file on the same seeded pictures; return the largest difference.

    Pictures of several sizes and batch sizes; each is also run alone, and must give what it gave in
    its batch.

    Raises:
        UserError: a difference above 1e-4.
    """
    import torch

    session = make_session(data, name=name)
    source = session.get_inputs()[0].name
    worst = 0.0
    for seed, shape in enumerate(SHAPES[kind]):
        pictures = comparison_pictures(shape, seed)
        with torch.no_grad():
            expected = net(torch.from_numpy(pictures)).numpy()
        batch = session.run(None, {source: pictures})[0]
        alone = np.concatenate([session.run(None, {source: one[None]})[0] for one in pictures])
        for what, given in (("ONNX Runtime", batch), ("ONNX Runtime, one by one,", alone)):
            difference = float(np.max(np.abs(given - expected)))
            if given.shape != expected.shape or not difference <= TOLERANCE:
                raise UserError(
                    f"{name}: {what} differs from the network by {difference:g} at {shape}, "
                    f"more than {TOLERANCE:g}: the file was not written; report this with your versions "
                    "of torch and onnxruntime"
                )
            worst = max(worst, difference)
    return worst


def comparison_pictures(shape: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    """Seeded luma (N, 1, H, W) in 0..1: smooth shading, edges and noise, never a constant."""
    batch, height, width = shape
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 32
    phase = generator.uniform(0, 6.28, (batch, 2, 1, 1))
    shading = 0.5 + 0.25 * np.sin(x + phase[:, 0]) + 0.2 * np.sign(np.sin(y * 3 + phase[:, 1]))
    noise = generator.normal(0, 0.05, (batch, height, width))
    pictures: Any = np.clip(shading + noise, 0, 1)[:, None]
    return np.asarray(pictures, np.float32)
