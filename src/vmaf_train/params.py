"""What params.yaml holds, section by section; `params_reader` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vmaf_train.errors import UserError

# how a frame becomes what a metric takes, see sampling.py
Sampling = Literal["area", "fragments"]
# who rated the clips: people, or VMAF against the pristine clip
LabelKind = Literal["human-mos", "vmaf-proxy"]
# a model's id names its files and, in libvmaf's client, its metric
MODEL_ID = "[a-z][a-z0-9_]{0,63}"
# names of libvmaf's own metrics, which no id may be; a test asks libvmaf for them
LIBVMAF_METRIC = (
    r"vmaf|cambi|ciede2000|(integer_)?(aim|motion\d?|adm\d|(adm|vif)_scale\d)"
    r"|a?psnr(_hvs)?(_y|_cb|_cr)?|float_[a-z0-9_]+"
)


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where `manifest` and `frames` read clips, and how many processes of this machine do the rest."""

    engine: Literal["local", "dask"]
    workers: int
    dask_address: str


@dataclass(frozen=True, kw_only=True)
class Train:
    """What `fit` hands to Lightning's Trainer."""

    devices: str
    num_nodes: int
    strategy: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """The corpus rendered on the spot."""

    scenes: int
    variants: int
    touched_up: float
    width: int
    height: int
    frames: int
    fps: int
    photos: str


@dataclass(frozen=True, kw_only=True)
class ArchiveTexts:
    """A text for each of KoNViD-1k's two archives: its URL, or its hex SHA-256 (empty: not compared)."""

    videos: str
    metadata: str


@dataclass(frozen=True, kw_only=True)
class ArchiveSizes:
    """Bytes that each of KoNViD-1k's two archives has at least."""

    videos: int
    metadata: int


@dataclass(frozen=True, kw_only=True)
class Konvid1k:
    """Where KoNViD-1k is fetched from, and what is accepted."""

    url: ArchiveTexts
    min_bytes: ArchiveSizes
    max_unpacked_bytes: int
    allow_expired_certificate: bool
    sha256: ArchiveTexts


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A user's own clips and scores, and where the scores come from: people, or VMAF."""

    path: str
    scores: str
    label_kind: LabelKind


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Which corpus, and each corpus' own parameters."""

    name: Literal["synthetic", "konvid-1k", "folder"]
    max_dropped: int
    synthetic: Synthetic
    konvid_1k: Konvid1k
    folder: Folder


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How often each kind of damage is drawn for the mixed pairs; only the ratios count."""

    blur_jpeg: float
    x264: float
    x265: float
    svtav1: float
    vp9: float
    noise: float
    clean: float


@dataclass(frozen=True, kw_only=True)
class CodedPairs:
    """Twins from real encoders: blur before them, the part that stays sharp, number of encodes, drift
    (pixels a picture), shares."""

    blur_sigma: float
    sharp: float
    encodes: int
    drift: int
    shares: Shares


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """Fragments of each frame for metrics that sample so: at how many places they are cut; 0: none."""

    places: int


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frame side in pixels, fragments, the degradation of the filter's pairs, the twins from encoders."""

    size: int
    fragments: Fragments
    blur_sigma: float
    jpeg_quality: int
    coded: CodedPairs


@dataclass(frozen=True, kw_only=True)
class Split:
    """Salt and fractions of the split by key hash."""

    salt: str
    test: float
    val: float


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is trained; clips below `min_mos` are left out.

    `lr_scale` multiplies the root `lr`, and `steps_scale` the root `max_steps`: small steps come cheaper.
    `keep` is the checkpoint that is kept: that of the best validation figure, or the last.
    """

    lr_scale: float
    schedule: Literal["constant", "cosine"]
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int
    keep: Literal["best", "last"]
    crop: int
    gradient_clip: float
    rank_weight: float
    ema_decay: float
    min_mos: float
    steps_scale: float


@dataclass(frozen=True, kw_only=True)
class FilterRecipe(Recipe):
    """How a filter is trained: `pairs` of blur and JPEG, or also other damage and none (`mixed`).

    `charbonnier`: errors far below it, in 0..1, weigh next to nothing; 0: plain absolute error.
    """

    pairs: Literal["degraded", "mixed"]
    charbonnier: float


@dataclass(frozen=True, kw_only=True)
class NrNet:
    """Design, sampling and size of a no-reference network.

    `radius`, in pixels, is of the local contrast of design convolutional; `layers` and `pooling` are of
    design energies.
    """

    design: Literal["convolutional", "energies"]
    sampling: Sampling
    width: int
    radius: int
    layers: int
    pooling: Literal["mean", "attention"]


@dataclass(frozen=True, kw_only=True)
class NrModel:
    """A no-reference metric."""

    kind: Literal["nr"]
    net: NrNet
    quantize: bool
    quant_accuracy_budget_plcc: float
    capped: Recipe
    reference: Recipe


@dataclass(frozen=True, kw_only=True)
class FilterNet:
    """Size of a filter network; it works at 1/stride of the resolution inside.

    The first `separable` of its `blocks` are depthwise and 1x1 convolutions.
    """

    channels: int
    blocks: int
    stride: int
    separable: int


@dataclass(frozen=True, kw_only=True)
class FilterModel:
    """A luma filter."""

    kind: Literal["filter"]
    net: FilterNet
    quantize: bool
    quant_accuracy_budget_plcc: float
    capped: FilterRecipe
    reference: FilterRecipe


Model = NrModel | FilterModel
MODEL_KINDS: dict[str, type[NrModel] | type[FilterModel]] = {"nr": NrModel, "filter": FilterModel}


@dataclass(frozen=True, kw_only=True)
class Params:
    """All of params.yaml; `models` maps each listed model id to its section."""

    seed: int
    lr: float
    max_steps: int
    compute: Compute
    train: Train
    corpus: Corpus
    frames: Frames
    split: Split
    models: dict[str, Model]

    def model(self, model_id: str) -> Model:
        """Return a model's section.

        Raises:
            UserError: `model_id` is not listed under `models`.
        """
        if model_id not in self.models:
            listed = ", ".join(self.models)
            raise UserError(
                f"no model {model_id!r} in params.yaml: models lists {listed}; "
                "use one of those or add a section"
            )
        return self.models[model_id]

    def recipe(self, model_id: str) -> Recipe:
        """The recipe in force: `reference` when `max_steps` is -1, else `capped`."""
        section = self.model(model_id)
        return section.reference if self.max_steps == -1 else section.capped
