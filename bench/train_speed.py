"""Training steps as `fit` takes them against the plain way: a DataLoader that reads a file an item.

    python bench/train_speed.py [--seconds 10] [--clips 256] [--threads 0] [--device cuda]

The same networks, batches and crops as the capped recipes of params.yaml; each row changes one thing and
runs in a process of its own. On cores that other programs use, give `--threads 1`: threads of one step
wait for each other. Columns: samples and megapixels of training data a second, and the ratio to
the first row of the same device. With a GPU, the first and the last way run there too; `--device cuda`
(or cpu) runs the rows of one device alone.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from machine import machine, program, table
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from vmaf_train.batches import Batches
from vmaf_train.datasets import FrameMOSDataset, PairedFrameDataset
from vmaf_train.errors import UserError
from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.fit import keep_freed_memory
from vmaf_train.lit import to_channels_last
from vmaf_train.metric_nets import Metric
from vmaf_train.nets import build
from vmaf_train.params import Params
from vmaf_train.params_reader import read_params

WARM_UP = 3


@dataclass(frozen=True)
class Way:
    """One way to train."""

    name: str
    files: bool = False
    workers: int = 0
    measured: bool = False
    channels_last: bool = False
    keep_memory: bool = False
    half: torch.dtype | None = None
    device: str = "cpu"


class FileDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The plain way: each item is read from its own PNG file (a pair: from two), then cut."""

    def __init__(self, folder: Path, crop: int, pairs: bool) -> None:
        self.folder, self.crop, self.pairs = folder, crop, pairs
        self.count = len(list(folder.glob("clean_*.png")))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        clean = self._read("clean", index)
        part: tuple[Any, ...] = (...,)
        if self.crop:
            top, left = torch.randint(clean.shape[-1] - self.crop + 1, (2,)).tolist()
            part = (..., slice(top, top + self.crop), slice(left, left + self.crop))
        if self.pairs:
            return self._read("degraded", index)[part], clean[part]
        return clean[part].flip(-1) if torch.rand(()) < 0.5 else clean[part], torch.tensor(3.0)

    def _read(self, name: str, index: int) -> torch.Tensor:
        with Image.open(self.folder / f"{name}_{index}.png") as picture:
            return torch.from_numpy(np.asarray(picture, np.float32) / 255)[None]


def pictures(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean and degraded stand-ins (count, size, size) uint8 that compress as pictures do."""
    generator = np.random.default_rng(1)
    coarse = generator.integers(30, 225, (count, size // 8, size // 8)).repeat(8, 1).repeat(8, 2)
    clean, degraded = (np.clip(coarse + generator.normal(0, s, coarse.shape), 0, 255) for s in (2, 6))
    return torch.from_numpy(clean.astype(np.uint8)), torch.from_numpy(degraded.astype(np.uint8))


def batches(
    way: Way, model: str, params: Params, count: int, scratch: Path, net: Metric | LearnedFilter
) -> Iterable[Any]:
    """Endless batches of one way."""
    kind, recipe = params.model(model).kind, params.recipe(model)
    clean, degraded = pictures(count, params.frames.size)
    if way.files:
        for name, frames in (("clean", clean), ("degraded", degraded)):
            for index, frame in enumerate(frames.numpy()):
                Image.fromarray(frame).save(scratch / f"{name}_{index}.png")
        data = FileDataset(scratch, recipe.crop, kind == "filter")
        loader = DataLoader(
            data, recipe.batch_size, shuffle=True, drop_last=True, num_workers=way.workers,
            persistent_workers=way.workers > 0, pin_memory=way.device != "cpu",
        )  # fmt: skip
        return _endless(loader)
    keys = [str(index) for index in range(count)]
    if isinstance(net, Metric):
        scored = FrameMOSDataset(clean, torch.full((count,), 3.0), keys, keys)
        if way.measured:
            scored.measure(net.measure)
        return _endless(Batches(scored.to(way.device), recipe.batch_size, seed=1, crop=recipe.crop))
    paired = PairedFrameDataset(degraded, clean, keys).to(way.device)
    return _endless(Batches(paired, recipe.batch_size, seed=1, crop=recipe.crop))


def _endless(source: Iterable[Any]) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(source))


def measure(way: Way, model: str, count: int, seconds: float, threads: int) -> tuple[float, float]:
    """Samples and megapixels a second."""
    params = replace(read_params(), max_steps=10**6)
    section, recipe = params.model(model), params.recipe(model)
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    if way.keep_memory:
        keep_freed_memory()
    net = build(section)
    if way.channels_last:
        to_channels_last(net)
    net.to(way.device)
    loss = torch.nn.functional.mse_loss if section.kind == "nr" else torch.nn.functional.l1_loss
    forward: Any = net.unclamped if isinstance(net, LearnedFilter) else net.judge if way.measured else net
    optimizer = torch.optim.AdamW(net.parameters(), recipe.lr_scale * params.lr)
    scaler = torch.amp.GradScaler(way.device, enabled=way.half is torch.float16)
    samples = pixels = 0
    begin = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for step, batch in enumerate(batches(way, model, params, count, Path(scratch), net)):
            if step == WARM_UP:
                begin, samples, pixels = _now(way), 0, 0
            source, target = (values.to(way.device, non_blocking=True) for values in batch[:2])
            with torch.autocast(way.device, way.half, enabled=way.half is not None):
                value = loss(forward(source).float(), target)
            optimizer.zero_grad()
            scaler.scale(value).backward()
            scaler.step(optimizer)
            scaler.update()
            samples, pixels = samples + len(source), pixels + source.numel()
            if step > WARM_UP and _now(way) - begin > seconds:
                break
    took = _now(way) - begin
    return samples / took, pixels / took / 1e6


def _now(way: Way) -> float:
    if way.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def ways(measures: bool) -> list[Way]:
    """Each row changes one thing of the row before it; `measures`: `fit` does a part of the network once."""
    cores = os.cpu_count() or 1
    plain = Way("a PNG file an item", files=True)
    memory = Way("in memory, whole batches")
    once = replace(memory, name="+ measured once a frame", measured=True)
    last = replace(once if measures else memory, name="+ channels last", channels_last=True)
    kept = replace(last, name="+ freed memory kept", keep_memory=True)
    rows = [
        plain,
        replace(plain, name=f"the same, {cores} loader processes", workers=cores),
        memory,
        *([once] if measures else []),
        last,
        kept,
    ]
    if torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"):
        rows.append(replace(kept, name="+ bf16 (native)", half=torch.bfloat16))
    if torch.cuda.is_available():
        gpu = replace(plain, name=f"GPU, a PNG file an item, {cores} processes", workers=cores, device="cuda")
        rows.append(gpu)
        ours = replace(last, name="GPU, on the device, channels last, fp16", device="cuda")
        rows.append(replace(ours, half=torch.float16))
    return rows


def main(
    seconds: float = 10, clips: int = 256, threads: int = 0, device: Literal["cpu", "cuda"] | None = None
) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch sees no GPU here; leave --device out")
    threads = threads or torch.get_num_threads()
    print(f"{machine()}, torch {torch.__version__}, {threads} threads")
    if torch.cuda.is_available():
        print(f"GPU: {torch.cuda.get_device_name()}")
    params = replace(read_params(), max_steps=10**6)
    most = max(params.recipe(model).batch_size for model in params.models)
    if clips < most:  # a loader that drops what fills no batch would give none, for ever
        raise UserError(f"--clips {clips}: the largest batch is of {most}; give at least that many")
    for model in params.models:
        recipe = params.recipe(model)
        side = recipe.crop or params.frames.size
        print(f"\n{model}: batches of {recipe.batch_size} pictures of {side}x{side}")
        net = build(params.model(model))
        fitting = ("pixels",) if recipe.crop else ("pixels", "cells")
        measures = isinstance(net, Metric) and net.measures in fitting
        rows: list[tuple[str, ...]] = []
        first: dict[str, float] = {}
        for way in ways(measures):
            if device not in (None, way.device):
                continue
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
                samples, pixels = alone.submit(measure, way, model, clips, seconds, threads).result()
            ratio = samples / first.setdefault(way.device, samples)
            rows.append((way.name, f"{samples:.1f}", f"{pixels:.2f}", f"{ratio:.2f}"))
        table(("way", "samples/s", "Mpixel/s", "ratio"), rows)


if __name__ == "__main__":
    program(main)
