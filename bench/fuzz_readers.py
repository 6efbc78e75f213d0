"""Feed made-up and damaged files to the readers of score tables, archives and clips; count crashes.

    python bench/fuzz_readers.py            # 10,000 tables, 5,000 archives, 2,000 clips
    python bench/fuzz_readers.py 500 7      # 500 inputs a reader, from seed 7

Any exception but UserError is a crash, and so are a signal, an input that takes more than 20 s and a
file written outside the folder that was asked for. Inputs come from hypothesis; those that crash are
kept in a folder whose path is printed. Exit status 1 when there was a crash.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import multiprocessing
import random
import shutil
import signal
import stat
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import ffmpeg
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.middle import middle_luma
from vmaf_train.mos import find_score_table, join, read_scores
from vmaf_train.unpack import unpack
from vmaf_train.video import probe

INPUTS = {"tables": 10_000, "archives": 5_000, "clips": 2_000}
SLOWEST = 20  # seconds an input may take
LARGEST = 1 << 20  # bytes an archive may unpack to
CLIPS: dict[str, dict[str, Any]] = {
    ".mp4": {"vcodec": "libx264", "movflags": "+faststart", "bf": 2, "g": 4},
    ".mkv": {"vcodec": "libx265", "x265-params": "log-level=none"},
    ".webm": {"vcodec": "libvpx-vp9", "deadline": "realtime"},
    ".avi": {"vcodec": "mpeg4"},
    ".mov": {"vcodec": "mjpeg"},
    ".y4m": {},
    ".flv": {"vcodec": "libx264", "acodec": "aac"},
    ".ts": {"vcodec": "mpeg2video", "bf": 2, "acodec": "mp2"},
}


class TooSlow(BaseException):
    """An input took too long; not an Exception, so that no reader can swallow it."""


cells = st.one_of(
    st.sampled_from(
        ["1", "5", "3.5", "3,5", "nan", "-0", "1e9", "", " ", '"', "\0", "a/b", "12_x.mp4", "７"]
    ),
    st.floats().map(str),
    st.text(max_size=12),
)
header = st.lists(
    st.sampled_from(["key", "mos", "MOS", "flickr_id", "file_name", "scene", "\ufeffkey", "x", ""]),
    max_size=5,
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A valid file with some bytes changed, cut out, doubled or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 8))):
        at, length = draw(st.integers(0, len(data))), draw(st.integers(1, 64))
        match draw(st.sampled_from(["change", "cut", "end", "double", "put", "extreme"])):
            case "change":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del data[at : at + length]
            case "end":
                del data[at:]
            case "double":
                data[at:at] = data[at : at + length]
            case "put":
                data[at:at] = draw(st.binary(max_size=length))
            case "extreme":
                data[at : at + 4] = draw(
                    st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0" * 4])
                )
    return bytes(data)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Bytes of a CSV, more or less."""
    delimiter = draw(st.sampled_from(",;\t"))
    rows = [draw(header), *draw(st.lists(st.lists(cells, max_size=5), max_size=6))]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = end.join(delimiter.join(row) for row in rows)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])), errors="replace")


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Bytes of a zip archive with names, modes and sizes of every kind."""
    names = st.one_of(
        st.sampled_from(
            ["a", "A", "a/", "a/b", "../x", "/x", "c:x", "a\\b", "x/../../y", ".", "\u0130", "a\0b"]
        ),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    )
    modes = [0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in draw(st.lists(names, max_size=4)):
            info = zipfile.ZipInfo(name)
            info.external_attr = draw(st.sampled_from(modes)) << 16
            methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
            archive.writestr(info, draw(st.binary(max_size=200)), draw(st.sampled_from(methods)))
    return out.getvalue()


def try_table(data: bytes, folder: Path) -> None:
    """Read a table and join it; read the same bytes as provenance.json."""
    path = folder / "scores.csv"
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        join(map(PurePosixPath, ("a/b.mp4", "12_x.mp4", "12.mkv")), read_scores(path))
    (folder / "provenance.json").write_bytes(data if data[:1] in (b"{", b"[") else _provenance(data))
    with contextlib.suppress(UserError):
        find_score_table(folder)


def _provenance(data: bytes) -> bytes:
    return json.dumps({"scores": data.decode("utf-8", errors="replace")}).encode()


def try_archive(data: bytes, folder: Path) -> None:
    """Unpack an archive; nothing but the folder asked for may appear, and not more than allowed."""
    path, target = folder / "a.zip", folder / "out" / "in"
    path.write_bytes(data)
    done = False
    with contextlib.suppress(UserError):
        unpack(path, target, max_bytes=LARGEST)
        done = True
    assert {item.name for item in folder.iterdir()} <= {"a.zip", "out"}, "a file outside the folder"
    assert [item.name for item in target.parent.glob("*")] == (["in"] if done else []), (
        "something left behind"
    )
    assert not any(item.is_symlink() for item in target.rglob("*")), "a link"
    assert sum(item.stat().st_size for item in target.rglob("*") if item.is_file()) <= LARGEST, "too much"


def try_clip(data: bytes, folder: Path) -> None:
    """Probe a clip, take its middle frame and filter it."""
    path = folder / "clip.mp4"  # libav looks at the content, not at the name
    path.write_bytes(data)
    for reader in (probe, middle_luma, lambda clip: filter_video(clip, folder / "out.mkv", filter_model())):
        with contextlib.suppress(UserError):
            reader(path)


@functools.cache
def filter_model() -> LoadedModel:
    """The cheapest filter; loading it is no part of what is tried."""
    return load_model("learned_filter_v2")


def clips() -> list[bytes]:
    """A tiny valid clip of each kind."""
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, options in CLIPS.items():
            path = Path(folder) / f"clip{suffix}"
            streams = [ffmpeg.input("testsrc=size=64x48:rate=8:duration=1", f="lavfi")]
            if "acodec" in options:
                streams.append(ffmpeg.input("sine=duration=1", f="lavfi"))
            command = ffmpeg.output(*streams, str(path), pix_fmt="yuv420p", **options)
            run_ffmpeg(command, what=f"making {path.name}")
            made.append(path.read_bytes())
    return made


READERS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[], st.SearchStrategy[bytes]]]] = {
    "tables": (try_table, lambda: st.one_of(tables(), damaged(tables()), st.binary(max_size=200))),
    "archives": (try_archive, lambda: st.one_of(archives(), damaged(archives()), st.binary(max_size=200))),
    "clips": (try_clip, lambda: damaged(st.sampled_from(clips()))),
}


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooSlow(f"more than {SLOWEST} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SLOWEST)
    try:
        yield
    finally:
        signal.alarm(0)


def fuzz(name: str, inputs: int, number: int, folder: Path) -> None:
    """Try one reader; leave the counts in `<name>.json` and inputs that crashed in files."""
    reader, strategy = READERS[name]
    tried = 0
    crashes: Counter[str] = Counter()
    current = folder / f"{name}.current"

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy())
    def attempt(data: bytes) -> None:
        nonlocal tried
        tried += 1
        current.write_bytes(data)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            try:
                with _time_limit():
                    reader(data, Path(place))
            except (Exception, TooSlow) as error:  # every kind of it is what this command looks for
                text = str(error).replace(place, "...").partition("\n")[0][:80]
                kind = f"{type(error).__name__}: {text}"
                crashes[kind] += 1
                (folder / f"{name}.crash{len(crashes)}").write_bytes(data)
        (folder / f"{name}.json").write_text(json.dumps({"tried": tried, "crashes": crashes}))

    random.seed(number)
    attempt()


def main(arguments: list[str]) -> int:
    inputs = int(arguments[0]) if arguments else None
    number = int(arguments[1]) if len(arguments) > 1 else 1
    folder = Path(tempfile.mkdtemp(prefix="fuzz_readers."))
    total = 0
    for name, usual in INPUTS.items():
        # a process of its own: a reader that dies by a signal is a result, not the end
        process = multiprocessing.get_context("spawn").Process(
            target=fuzz, args=(name, inputs or usual, number, folder)
        )
        process.start()
        process.join()
        counts = json.loads((folder / f"{name}.json").read_text())
        if process.exitcode:
            counts["crashes"][f"process ended with {process.exitcode}"] = 1
            (folder / f"{name}.current").replace(folder / f"{name}.crash0")
        total += sum(counts["crashes"].values())
        print(f"{name}: {counts['tried']} inputs tried, {sum(counts['crashes'].values())} crashes")
        for kind, times in counts["crashes"].items():
            print(f"  {times} x {kind}")
    print(f"crashes {total}" + (f"; inputs in {folder}" if total else ""))
    if not total:
        shutil.rmtree(folder)
    return 1 if total else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
