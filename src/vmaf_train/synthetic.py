"""Stage `fetch`, corpus `synthetic`: render scenes, impair and encode them, label them with VMAF.

Each scene is drawn from (seed, its name) alone, so neither the number of workers nor the number of
scenes changes a byte of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Generator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

from vmaf_train.camera import published
from vmaf_train.errors import UserError
from vmaf_train.executor import map_ordered
from vmaf_train.ffmpeg import ffmpeg_exe, ffmpeg_version
from vmaf_train.files import replacing_folder, write_json, write_text
from vmaf_train.impair import CODECS, damage, draw_plans, encode_together
from vmaf_train.labels import LOW_VMAF, VMAF_MODEL, libvmaf_version, vmaf, vmaf_to_mos
from vmaf_train.layout import Layout
from vmaf_train.leaves import seeded
from vmaf_train.mos import Score, clip_key, score_table
from vmaf_train.params import Params, Synthetic
from vmaf_train.photos import check_sizes, find_photos, photo_clip
from vmaf_train.scenes import render_clip

CLIPS = "synthetic_videos"
SCORES = "scores.csv"
LICENCE = "BSD-2-Clause-Patent"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rendered:
    """One labelled clip: path below the corpus, scene, what was done to it, VMAF (0..100), MOS (1..5).

    `source` is the name of the photograph or clip that the scene shows, empty for a rendered one.
    """

    path: str
    scene: str
    source: str
    impairment: dict[str, Any]
    vmaf: float
    mos: float

    @property
    def key(self) -> str:
        """The clip's key: path without suffix, `/` replaced by `_`."""
        return clip_key(PurePosixPath(self.path))


def render(params: Params, layout: Layout) -> list[Rendered]:
    """Render the corpus into data/corpus, whole or not at all.

    Raises:
        UserError: a photo folder is missing or holds no picture, a picture is too small or unusable, the
            disk is full, a worker died.
    """
    wanted = params.corpus.synthetic
    ffmpeg_exe()  # a missing binary is told before anything is rendered
    if wanted.width % 2 or wanted.height % 2:
        raise UserError(
            f"corpus.synthetic is {wanted.width}x{wanted.height}, but video needs even sides; change width "
            "or height in params.yaml"
        )
    photos = find_photos(wanted.photos, layout)
    names = [f"{index:04d}" for index in range(wanted.scenes)]
    if len(photos) > len(names):
        print(
            f"fetch: {len(photos) - len(names)} of {len(photos)} photographs and clips are not used: "
            f"corpus.synthetic.scenes is {len(names)}"
        )
    # told before anything is rendered, and of all at once
    check_sizes(photos[: len(names)], wanted.width, wanted.height)
    # workers may have another current folder
    photos = [path.absolute() for path in photos]
    with replacing_folder(layout.corpus) as folder:
        (folder / CLIPS).mkdir()
        where = folder.resolve()
        job = functools.partial(render_scene, seed=params.seed, wanted=wanted, folder=where, photos=photos)
        clips = _render_all(job, names, params)
        scores = [
            Score(clip.key, round(clip.mos, 4), clip.scene, target=not clip.impairment["earlier"])
            for clip in clips
        ]
        write_text(folder / SCORES, score_table(scores))
        write_json(folder / "clips.json", [dataclasses.asdict(clip) for clip in clips])
        write_json(folder / "provenance.json", provenance(params, min(len(photos), len(names))))
    return clips


def _render_all(job: Callable[[str], list[Rendered]], names: list[str], params: Params) -> list[Rendered]:
    # always on this machine: the workers write into a folder of its file system
    compute = dataclasses.replace(params.compute, engine="local")
    clips: list[Rendered] = []
    results = cast(
        Generator[list[Rendered] | UserError, None, None],
        map_ordered(job, names, compute, "Rendering scenes"),
    )
    # closed at once on an error or Ctrl-C: no worker may write into a folder that is being removed
    with contextlib.closing(results):
        for result in results:
            if isinstance(result, UserError):
                raise result
            clips += result
    return clips


def render_scene(
    name: str, *, seed: int, wanted: Synthetic, folder: Path, photos: Sequence[Path] = ()
) -> list[Rendered]:
    """Render one scene and its impaired clips below `folder`; the first scenes show `photos`, one each."""
    source = photos[int(name)] if int(name) < len(photos) else None
    frame = (wanted.width, wanted.height, wanted.frames)
    if source:
        pristine = photo_clip(source, name, seed, *frame)
    else:
        pristine = published(render_clip(name, seed, *frame), seeded(seed, "published", name))
    plans = draw_plans(seeded(seed, "plans", name), wanted.variants, wanted.touched_up)
    letters = [variant_letters(index) for index in range(len(plans))]
    paths = [f"{CLIPS}/{name}_{letter}.mp4" for letter in letters]
    jobs = (
        (damage(pristine, impairment, seeded(seed, "damage", name, letter)), impairment, folder / path)
        for letter, path, impairment in zip(letters, paths, plans, strict=True)
    )
    encode_together(jobs, wanted.fps)
    scores = vmaf([folder / path for path in paths], pristine, wanted.fps)
    return [
        Rendered(
            path=path,
            scene=name,
            source=source.name if source else "",
            impairment=dataclasses.asdict(impairment),
            vmaf=score,
            mos=vmaf_to_mos(score),
        )
        for path, impairment, score in zip(paths, plans, scores, strict=True)
    ]


def variant_letters(index: int) -> str:
    """`a` to `z`, then `aa` to `zz`: lower case only, since some file systems do not tell case apart."""
    letter = chr(ord("a") + index % 26)
    return letter if index < 26 else variant_letters(index // 26 - 1) + letter


def provenance(params: Params, photos: int) -> dict[str, Any]:
    """What provenance.json says: rendered, from which seed, and what the labels are.

    `photos` is how many scenes show the user's own photographs and clips.
    """
    rendered = dataclasses.asdict(params.corpus.synthetic) | {"photos": photos}
    own = f" {photos} scenes show the user's own photographs or clips." if photos else ""
    return {
        "corpus": "synthetic",
        "label_kind": "vmaf-proxy",
        "description": (
            f"Rendered scenes, impaired and encoded on this machine.{own} The scores are VMAF against the "
            f"pristine clip, {LOW_VMAF:g}..100 mapped to 1..5; no person rated them. This is not KoNViD-1k."
        ),
        "citation": (
            "Lee, Mumford, Huang: Occlusion models for natural images, IJCV 2001; "
            "Li et al.: Toward a practical perceptual video quality metric, Netflix 2016"
        ),
        "licence": LICENCE + (", but for the user's own photographs and clips" if photos else ""),
        "scores": SCORES,
        "sources": {
            "seed": params.seed,
            **rendered,
            "encoders": sorted(CODECS),
            "ffmpeg": ffmpeg_version(),
            "libvmaf": libvmaf_version(),
            "vmaf_model": VMAF_MODEL,
        },
    }
