"""Where everything lies below the repository root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of the pipeline's inputs and outputs; `root` is the repository's top folder."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        """The parameters of every stage."""
        return self.root / "params.yaml"

    @property
    def corpus(self) -> Path:
        """Clips, one score table (CSV) and `provenance.json`; the same layout for every corpus."""
        return self.root / "data" / "corpus"

    @property
    def provenance(self) -> Path:
        """What the corpus is and where it came from."""
        return self.corpus / "provenance.json"

    @property
    def photos(self) -> Path:
        """The user's own pictures, by default; may be empty."""
        return self.root / "data" / "photos"

    @property
    def manifest(self) -> Path:
        """One row a clip: key, path, SHA-256, probe results, MOS, scene."""
        return self.root / "data" / "manifest.parquet"

    @property
    def frames(self) -> Path:
        """Packed frame arrays and their tables."""
        return self.root / "data" / "frames"

    @property
    def split(self) -> Path:
        """One row a clip: key, scene, split (`train`, `val`, `test`)."""
        return self.root / "data" / "split.parquet"

    def checkpoint(self, model: str) -> Path:
        """The checkpoint of one model that its recipe keeps: the best or the last."""
        return self.root / "data" / "checkpoints" / f"{model}.ckpt"

    def curves(self, model: str) -> Path:
        """Learning curves of one model: a CSV with `step` and one column a curve."""
        return self.root / "data" / "curves" / f"{model}.csv"

    def versions(self, model: str) -> Path:
        """The versions of the libraries that trained and exported one model."""
        return self.root / "data" / "versions" / f"{model}.json"

    def int8(self, model: str) -> Path:
        """The static QDQ twin of one model and its report."""
        return self.root / "data" / "int8" / model

    @property
    def models(self) -> Path:
        """The registry's folder: ONNX files, sidecars, registry and schemas."""
        return self.root / "model" / "tiny"

    def onnx(self, model: str) -> Path:
        """The registered float ONNX file of one model."""
        return self.models / f"{model}.onnx"

    def metrics(self, model: str) -> Path:
        """The DVC metrics of one model."""
        return self.root / "metrics" / f"{model}.json"

    def plots(self, model: str) -> Path:
        """The DVC plots of one model."""
        return self.root / "metrics" / "plots" / model

    def card(self, model: str) -> Path:
        """The model card."""
        return self.root / "docs" / "models" / f"{model}.md"

    def measured(self, model: str) -> Path:
        """What the benchmarks found about one model, in Markdown; the card quotes it."""
        return self.root / "docs" / "measured" / f"{model}.md"
