"""Twins of clean frames that went through real video encoders (x264, x265, SVT-AV1, VP9) or got noise.

Frames that share a codec, a CRF and a preset are coded as one video of many short groups of pictures, so
hundreds of frames cost a few dozen encodes. Each frame is a group of its own, in which it drifts; the twin
is one of the group's pictures: mostly a predicted one, as in real clips. Some frames are not blurred before,
and some stay clean: a filter must learn to leave alone what needs no help.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.degrade import blur, noisy
from vmaf_train.errors import UserError
from vmaf_train.executor import map_ordered
from vmaf_train.ffmpeg import BITEXACT, grey_video, run_ffmpeg
from vmaf_train.luma import Plane
from vmaf_train.params import CodedPairs, Compute
from vmaf_train.video import iterate_luma

NOISE, CLEAN = "noise", "clean"  # the shares of frames whose twins go through no encoder
NOISE_RANGE = (2.0, 12.0)  # standard deviation, code values
GROUP = 4  # pictures a group
SMALLEST = 64  # sides below it are refused by some encoder
ALIGNED = 8  # sides are padded to a multiple of it
BATCH = 64  # frames encoded at once at most: bounds the memory


@dataclass(frozen=True)
class Codec:
    """One encoder: its settings, its quality range from good to bad, its presets from fast to slow."""

    settings: dict[str, Any]
    best: int
    worst: int
    preset: str
    presets: tuple[Any, ...]


# one thread and closed groups: the same frames give the same bytes
CODECS: dict[str, Codec] = {
    "x264": Codec(
        {"vcodec": "libx264", "g": GROUP, "keyint_min": GROUP, "sc_threshold": 0},
        22,
        42,
        "preset",
        ("ultrafast", "veryfast", "medium"),
    ),
    "x265": Codec(
        {
            "vcodec": "libx265",
            "x265-params": f"log-level=error:pools=none:frame-threads=1:info=0:keyint={GROUP}"
            f":min-keyint={GROUP}:scenecut=0:open-gop=0",
        },
        22,
        42,
        "preset",
        ("ultrafast", "veryfast", "medium"),
    ),
    "svtav1": Codec(
        {"vcodec": "libsvtav1", "g": GROUP, "svtav1-params": "lp=1:scd=0"}, 30, 60, "preset", (10, 8)
    ),
    "vp9": Codec(
        {"vcodec": "libvpx-vp9", "g": GROUP, "keyint_min": GROUP, "b:v": 0, "deadline": "good"},
        30,
        60,
        "cpu-used",
        (8, 5),
    ),
}


@dataclass(frozen=True)
class Encode:
    """One draw: a codec with its CRF and its preset."""

    codec: str
    crf: int
    preset: Any


@dataclass(frozen=True)
class Damage:
    """What is drawn for one frame: a share of `frames.coded` and its details, as far as that needs them.

    `place`: where in the encodes of the codec, 0..1. `drift`: pixels a picture, down and across.
    `picture`: which of the group is taken. `blurred`: before the encoder. `noise`: standard deviation,
    code values.
    """

    share: str
    place: float
    drift: tuple[int, int]
    picture: int
    blurred: bool
    noise: float


@dataclass(frozen=True)
class Job:
    """The frames of one encode: their rows, how each drifts (n, 2), and which of its pictures is taken."""

    encode: Encode
    blurred: bool
    rows: tuple[int, ...]
    drift: tuple[tuple[int, int], ...]
    picture: tuple[int, ...]

    def __str__(self) -> str:
        return f"{len(self.rows)} frames through {self.encode.codec} at CRF {self.encode.crf}"


def draw_encodes(params: CodedPairs, seed: int) -> dict[str, list[Encode]]:
    """The encodes of each codec: their number follows the codec's share, their CRFs cover its range."""
    shares = asdict(params.shares)
    coded = {name: share for name, share in shares.items() if share > 0 and name in CODECS}
    rng = np.random.default_rng([seed, 1])
    drawn: dict[str, list[Encode]] = {}
    for name, share in coded.items():
        codec, count = CODECS[name], max(1, round(params.encodes * share / sum(coded.values())))
        places = (np.arange(count) + rng.random(count)) / count
        crfs = [round(codec.best + float(place) * (codec.worst - codec.best)) for place in places]
        drawn[name] = [Encode(name, crf, codec.presets[rng.integers(len(codec.presets))]) for crf in crfs]
    return drawn


def draw_damage(key: str, params: CodedPairs, seed: int) -> Damage:
    """What one frame goes through; depends on the parameters, the seed and its key alone."""
    shares = asdict(params.shares)
    odds = np.array(list(shares.values())) / sum(shares.values())
    rng = _generator(key, seed)
    share = list(shares)[int(rng.choice(len(odds), p=odds))]
    place, picture = float(rng.random()), int(rng.integers(GROUP))
    down, across = (int(step) for step in rng.integers(-params.drift, params.drift + 1, 2))
    blurred, noise = bool(rng.random() >= params.sharp), float(rng.uniform(*NOISE_RANGE))
    return Damage(share, place, (down, across), picture, blurred, noise)


def draw_jobs(keys: Mapping[int, str], params: CodedPairs, seed: int) -> list[Job]:
    """Group the rows whose damage is an encoder's by encode; the others are in no job."""
    drawn = draw_encodes(params, seed)
    members: dict[tuple[Encode, bool], list[tuple[int, Damage]]] = {}
    for row, key in keys.items():
        damage = draw_damage(key, params, seed)
        if damage.share in CODECS:
            encode = drawn[damage.share][int(damage.place * len(drawn[damage.share]))]
            members.setdefault((encode, damage.blurred), []).append((row, damage))
    jobs = []
    for (encode, blurred), given in sorted(members.items(), key=lambda item: str(item[0])):
        for start in range(0, len(given), BATCH):
            rows, damages = zip(*given[start : start + BATCH], strict=True)
            drifts, pictures = zip(*((one.drift, one.picture) for one in damages), strict=True)
            jobs.append(Job(encode, blurred, rows, drifts, pictures))
    return jobs


def uncoded_twin(luma: Plane, key: str, damage: Damage, seed: int) -> Plane:
    """The twin (S, S) of a frame whose damage is noise, or none."""
    return luma if damage.share == CLEAN else noisy(luma, damage.noise, _generator(key, seed, "noise"))


def _generator(key: str, seed: int, purpose: str = "") -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{key}{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def coded_twins(
    luma: Path, keys: Mapping[int, str], params: CodedPairs, seed: int, compute: Compute
) -> Iterator[tuple[Job, NDArray[np.uint8]]]:
    """Yield every job with its twins, uint8 (n, S, S).

    Args:
        luma: the packed clean frames, uint8 (N, S, S); workers read their rows of it.
        keys: the clip of each row that gets a twin.
        params: how many encodes, of what.
        seed: of the draws.
        compute: how many processes encode; always on this machine, whose file `luma` is.

    Raises:
        UserError: an encoder fails.
    """
    jobs = draw_jobs(keys, params, seed)
    work = partial(run_job, str(luma.resolve()), params.blur_sigma)
    here = replace(compute, engine="local")
    for job, twins in zip(jobs, map_ordered(work, jobs, here, "coded"), strict=True):
        if isinstance(twins, UserError):
            raise twins
        yield job, twins


def run_job(luma: str, blur_sigma: float, job: Job) -> NDArray[np.uint8]:
    """The twins (n, S, S) of one job's rows of the packed file `luma`; runs in a worker."""
    frames = np.load(luma, mmap_mode="r")[list(job.rows)]
    sigma = blur_sigma if job.blurred else 0.0
    return through_encoder(np.stack([blur(frame, sigma) for frame in frames]), job)


def through_encoder(frames: NDArray[np.uint8], job: Job) -> NDArray[np.uint8]:
    """Encode and decode luma (n, S, S), each frame as a group in which it drifts; one picture of each.

    Raises:
        UserError: the encoder fails, or gives another number of pictures.
    """
    margin = (GROUP - 1) * max(abs(step) for drift in job.drift for step in drift)
    video = np.concatenate(
        [_drifting(frame, drift, margin) for frame, drift in zip(frames, job.drift, strict=True)]
    )
    codec = CODECS[job.encode.codec]
    raw, data = grey_video(video, 25)
    quality = {"crf": job.encode.crf, codec.preset: job.encode.preset}
    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
        path = Path(folder) / "coded.mkv"
        command = raw.output(str(path), pix_fmt="yuv420p", **codec.settings, **quality, **BITEXACT)
        run_ffmpeg(command, what=str(job), data=data)
        decoded = [picture for _, picture in iterate_luma(path, threads=1)]
    if len(decoded) != len(video):
        raise UserError(f"{job}: {len(decoded)} pictures came back of {len(video)}; run it again")
    # the frame lies where its drift has taken it by then
    height, width = frames.shape[1:]
    twins = []
    for group, (picture, (down, across)) in enumerate(zip(job.picture, job.drift, strict=True)):
        top, left = margin + picture * down, margin + picture * across
        twins.append(decoded[group * GROUP + picture][top : top + height, left : left + width])
    return np.stack(twins)


def _drifting(frame: Plane, drift: tuple[int, int], margin: int) -> NDArray[np.uint8]:
    """A group (GROUP, H', W') in which `frame` moves by `drift` a picture, from `margin` pixels inside."""
    canvas = np.pad(frame, 2 * margin + SMALLEST, mode="edge")
    height, width = (_padded(side + 2 * margin) for side in frame.shape)
    corner = margin + SMALLEST
    return np.stack(
        [canvas[corner - t * drift[0] :, corner - t * drift[1] :][:height, :width] for t in range(GROUP)]
    )


def _padded(side: int) -> int:
    return max(SMALLEST, -(-side // ALIGNED) * ALIGNED)
