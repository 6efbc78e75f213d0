"""Load a model that can be trusted: every check comes before ONNX Runtime sees a byte.

    from vmaf_train import load_model
    model = load_model("nr_metric_v1")
    scores = model.run(frames)  # (N, 1, 224, 224) float32 in 0..1 -> (N,)

The file is read once; the bytes that were checked are the bytes that run.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmaf_train.errors import UserError
from vmaf_train.files import sha256_bytes
from vmaf_train.graph import MAX_BYTES, GraphFacts, check_graph
from vmaf_train.kinds import Kind
from vmaf_train.layout import Layout
from vmaf_train.params import Sampling
from vmaf_train.registered import (
    check_hash,
    check_kind,
    check_row,
    check_sidecar,
    read_model,
    read_sidecar_of,
)
from vmaf_train.registry import NAME as REGISTRY
from vmaf_train.registry import Entry, onnx_name, read_registry
from vmaf_train.regular_files import inside, read_regular
from vmaf_train.session import make_session
from vmaf_train.sidecar import Sidecar, read_sidecar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

# sessions over edited copies, for each model; clips of as many sizes as cores are scored side by side
KEPT = max(8, 2 * (os.cpu_count() or 1))
_EDITING = threading.Lock()

DIRECTORY_VARIABLE = "VMAF_TINY_MODEL_DIR"
INSTALLED = "tiny"  # folder of the package that a wheel carries the models in
_COMMANDS = {
    Kind.NR: "this is a no-reference metric: use `vmaf-train score`",
    Kind.FILTER: "this is a filter: use `vmaf-train filter`",
    Kind.FR: "this is a full-reference model: it takes libvmaf's features, use it with `vmaf`",
}


@dataclass(frozen=True)
class LoadedModel:
    """A checked model, ready to run."""

    id: str
    kind: Kind
    path: Path
    facts: GraphFacts
    sidecar: Sidecar | None
    """None only for an unverified file without one beside it."""
    entry: Entry | None
    """The row of the registry; None for an unverified file."""
    data: bytes
    """The file's bytes, those that were checked."""
    threads: int
    """Threads of one operator; 0: one a core."""

    @property
    def sampling(self) -> Sampling:
        """How a metric's frames are brought to its own size."""
        return (self.sidecar and self.sidecar.sampling) or "area"

    @property
    def is_specialized(self) -> bool:
        """Whether it is a copy for one frame size, from `specialize`."""
        return self.sidecar is not None and self.sidecar.specialized_from is not None

    @functools.cached_property
    def session(self) -> Any:
        """The `onnxruntime.InferenceSession` over the checked bytes, made when it is first needed.

        Raises:
            UserError: ONNX Runtime refuses the graph.
        """
        return make_session(self.data, name=str(self.path), threads=self.threads)

    def run(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the model once.

        Args:
            frames: float32; nr and filter: luma (N, 1, H, W) in 0..1, H and W as `facts.input` says
                (a filter takes any); fr: features (N, 6).

        Returns:
            nr and fr: scores (N,); filter: luma (N, 1, H, W) in 0..1.

        Raises:
            UserError: another type or shape, or no memory for frames of that size.
        """
        if frames.dtype != "float32":
            raise self._other_input(frames)
        result: NDArray[np.float32] = self._run(self.session, frames)
        return result if self.kind is Kind.FILTER else result.reshape(len(frames))

    def run_codes(self, codes: NDArray[Any], bits: int, strength: float = 1.0) -> NDArray[Any]:
        """Run a filter on code values 0..2^bits-1, (N, 1, H, W): uint8, above 8 bits uint16; gives the same.

        Its answer is clipped and rounded to the nearest code value; what is no number becomes black. The
        graph does all of that itself, in a tenth of the time that numpy takes around it. Of the change that
        the filter makes, the part `strength` (above 0, at most 1) is applied.

        Raises:
            UserError: as `run`, or another strength.
        """
        from vmaf_train.surgery import take_codes, take_part

        def edit(graph: ModelProto) -> None:
            if strength != 1:
                take_part(graph, strength)
            take_codes(graph, bits)

        session = self.edited(("codes", bits, strength), edit, self.threads)
        codes_given: NDArray[Any] = self._run(session, codes)
        return codes_given

    def edited(self, key: Hashable, edit: Callable[[ModelProto], None], threads: int) -> Any:
        """A session over a copy of the checked graph that `edit` changed; those used last are kept by `key`.

        Raises:
            UserError: ONNX Runtime refuses the copy.
        """
        import onnx

        with _EDITING:
            session = self._edited.pop(key, None)
            if session is None:
                graph = onnx.load_model_from_string(self.data)
                edit(graph)
                while len(self._edited) >= KEPT:
                    del self._edited[next(iter(self._edited))]
                quantized = "QuantizeLinear" in self.facts.operators
                data, name = graph.SerializeToString(), str(self.path)
                session = make_session(data, name=name, threads=threads, quantized=quantized)
            # at the end, where the one used last stands
            self._edited[key] = session
            return session

    @functools.cached_property
    def _edited(self) -> dict[Hashable, Any]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        # sessions cannot be copied; a copy of the model makes its own
        return {key: value for key, value in vars(self).items() if key not in ("session", "_edited")}

    def _run(self, session: Any, frames: NDArray[Any]) -> Any:
        wanted = self.facts.input.shape
        if len(frames.shape) != len(wanted) or any(
            size != axis for size, axis in zip(frames.shape, wanted, strict=True) if isinstance(axis, int)
        ):
            raise self._other_input(frames)
        return self.run_session(session, frames)

    def run_session(self, session: Any, frames: NDArray[Any]) -> Any:
        """Run a session over the graph or an edit of it; `UserError`: it fails, as where memory is short."""
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        try:
            return session.run([self.facts.output.name], {self.facts.input.name: frames})[0]
        except (state.Fail, state.InvalidArgument, state.RuntimeException) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.id}: cannot run on {list(frames.shape)}: {reason}") from error

    def _other_input(self, frames: NDArray[Any]) -> UserError:
        wanted, sides = self.facts.input.text, self.facts.input.shape[2:]
        if self.is_specialized and frames.ndim == 4 and frames.shape[2:] != sides:
            found = f"{frames.shape[3]}x{frames.shape[2]}"
            return UserError(f"{self.id} is a copy for {sides[1]}x{sides[0]}, and the frames are {found}")
        return UserError(f"{self.id}: takes float32 {wanted}, not {frames.dtype} {list(frames.shape)}")

    def require(self, kind: Kind) -> LoadedModel:
        """Return the model itself when it is of `kind`.

        Raises:
            UserError: it is of another kind; the command for that kind is named.
        """
        if self.kind is not kind:
            raise UserError(f"{self.id}: needs a model of kind {kind.label}; {_COMMANDS[self.kind]}")
        return self


def models_dir() -> Path:
    """The model directory.

    VMAF_TINY_MODEL_DIR when set, else model/tiny here, else the repository's, else the one that was
    installed with the package.

    Raises:
        UserError: none of them is there.
    """
    chosen = os.environ.get(DIRECTORY_VARIABLE)
    if chosen:
        folder = Path(chosen)
        if not folder.is_dir():
            raise UserError(f"{DIRECTORY_VARIABLE}={chosen}: no such folder; unset it or name a folder")
        return folder
    package = Path(__file__).resolve().parent
    candidates = [Layout().models, Layout(package.parents[1]).models, package / INSTALLED]
    for folder in candidates:
        if (folder / REGISTRY).exists():
            return folder
    places = ", ".join(str(folder) for folder in candidates)
    raise UserError(
        f"no {REGISTRY} in any of {places}; run `dvc repro` in the repository, set {DIRECTORY_VARIABLE}, "
        "or give a path and --unverified"
    )


def load_model(model: str | Path, *, unverified: bool = False, threads: int = 0) -> LoadedModel:
    """Load a registered model by id, or by the path of its file.

    Checked in this order: inside the model directory (links resolved), regular file, at most 50 MiB,
    SHA-256 against the registry, opset and IR, operators at every depth, Loop bounds, no data outside
    the file, the ONNX checker, sidecar and kind against the graph. A session is made at the first run.

    Args:
        model: an id such as `nr_metric_v1`, or a path (anything with a `/` or ending in `.onnx`).
        unverified: accept a file outside the model directory or the registry. Directory and SHA-256
            are not checked then; all the rest is.
        threads: threads of one operator; 0: one a core.

    Raises:
        UserError: the first check that fails, in one line.
    """
    text = os.fspath(model)
    is_path = isinstance(model, Path) or "/" in text or os.sep in text or text.endswith(".onnx")
    if unverified:
        path = Path(text) if is_path else models_dir() / onnx_name(text)
        return _unverified(path, threads)
    folder = models_dir()
    if is_path:
        path = inside(Path(text), folder)
        entry = None
    else:
        entry = read_registry(folder / REGISTRY).find(text)
        path = folder / entry.file
    data = read_model(path, folder)
    entry, expected = _row(path, folder, entry)
    name = str(path)
    check_hash(data, expected, name=name)
    facts = check_graph(data, name=name)
    check_kind(facts, entry.kind, name=name)
    sidecar = read_sidecar_of(entry, folder)
    check_sidecar(sidecar, facts, name=entry.sidecar, sha256=entry.sha256)
    check_row(sidecar, entry, name=entry.sidecar)
    return LoadedModel(entry.id, entry.kind, path, facts, sidecar, entry, data, threads)


def _row(path: Path, folder: Path, entry: Entry | None) -> tuple[Entry, str]:
    """The row that names a file of the model directory, and the SHA-256 that it pins."""
    if entry is not None:
        return entry, entry.sha256
    relative = str(path.relative_to(folder.resolve()))
    for row in read_registry(folder / REGISTRY).entries:
        if relative == row.file:
            return row, row.sha256
        if relative == row.int8_file and row.int8_sha256 is not None:
            return row, row.int8_sha256
    raise UserError(
        f"{path}: no row of {folder / REGISTRY} names it; run `vmaf-train register`, or pass --unverified"
    )


def _unverified(path: Path, threads: int) -> LoadedModel:
    try:
        resolved = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path!s:.200}: cannot be opened ({error!s:.200}); check the path") from error
    data = read_regular(resolved, limit=MAX_BYTES)
    facts = check_graph(data, name=str(path))
    beside = resolved.with_suffix(".json")
    sidecar = None
    if beside.exists():
        sidecar = read_sidecar(beside)
        check_sidecar(sidecar, facts, name=str(beside), sha256=sha256_bytes(data))
        kind = sidecar.kind
    else:
        # without a sidecar the shapes alone tell what the model does
        kind = Kind.FR if len(facts.input.shape) == 2 else Kind.FILTER
        kind = Kind.NR if len(facts.input.shape) == 4 and len(facts.output.shape) <= 2 else kind
        check_kind(facts, kind, name=str(path))
    return LoadedModel(resolved.stem, kind, resolved, facts, sidecar, None, data, threads)
