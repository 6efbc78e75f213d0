"""Area resize of luma in float32, at the speed that scoring every frame needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmaf_train.luma import area_weights

# products below this many multiplications stay on the calling thread in OpenBLAS: its own threads would
# take the cores from the decoder
ONE_THREAD = 1 << 18
BLOCKS = 16


class _Block(NamedTuple):
    """Outputs `start:stop` need only inputs `first:last`; `weights` is that part of the matrix."""

    start: int
    stop: int
    first: int
    last: int
    weights: NDArray[np.float32]


class AreaResize:
    """Area resize of luma planes of one size, with the weights of `luma.area_weights`.

    The weight matrix is banded, so it is cut into blocks along its diagonal: for 960x540 to 224x224
    that is a twelfth of the work of two dense products. One object serves one thread.
    """

    def __init__(self, height: int, width: int, out_height: int, out_width: int) -> None:
        self.size = (height, width)
        self._columns = [
            block._replace(weights=np.ascontiguousarray(block.weights.T))
            for block in _blocks(width, out_width)
        ]
        self._rows = _blocks(height, out_height)
        widest = max(block.weights.size for block in self._columns)
        self._step = max(1, ONE_THREAD // widest - 1)
        self._part = np.empty((min(self._step, height), width), np.float32)
        self._narrow = np.empty((height, out_width), np.float32)

    def __call__(self, luma: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Resize code values (height, width) of any integer type into `out`, not rounded."""
        height = self.size[0]
        for top in range(0, height, self._step):
            rows = luma[top : top + self._step]
            part = self._part[: len(rows)]
            np.copyto(part, rows, casting="unsafe")
            narrow = self._narrow[top : top + len(rows)]
            for start, stop, first, last, weights in self._columns:
                np.matmul(part[:, first:last], weights, out=narrow[:, start:stop])
        for start, stop, first, last, weights in self._rows:
            np.matmul(weights, self._narrow[first:last], out=out[start:stop])


def _blocks(source: int, target: int) -> list[_Block]:
    matrix = area_weights(source, target)
    blocks = []
    count = min(BLOCKS, target)
    for index in range(count):
        start, stop = index * target // count, (index + 1) * target // count
        used = np.flatnonzero(matrix[start:stop].any(axis=0))
        first, last = int(used[0]), int(used[-1]) + 1
        blocks.append(_Block(start, stop, first, last, np.ascontiguousarray(matrix[start:stop, first:last])))
    return blocks
