import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ffmpeg
import numpy as np
import psutil
import pytest

from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import BITEXACT, ffmpeg_exe, ffmpeg_version, grey_video, run_ffmpeg

GREY = {"format": "rawvideo", "pix_fmt": "gray", "s": "4x2"}


def test_the_binary_is_there_and_tells_its_version() -> None:
    assert Path(ffmpeg_exe()).is_file()
    assert ffmpeg_version()


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4"])
def test_the_binary_has_the_encoder(codec: str) -> None:
    listed = run_ffmpeg(
        ffmpeg.input("color=s=64x64:d=0.1:r=10", format="lavfi").output(
            "pipe:", format="matroska", vcodec=codec, loglevel="quiet"
        ),
        what="encoding",
    )
    assert len(listed) > 100


def test_frames_go_in_and_out_through_pipes() -> None:
    frames = bytes(range(16))
    out = run_ffmpeg(ffmpeg.input("pipe:", **GREY).output("pipe:", **GREY), what="copying", data=frames)
    assert out == frames


def test_a_failure_names_the_job_and_carries_the_complaint() -> None:
    command = ffmpeg.input("no such file.mp4").output("pipe:", format="null")
    with pytest.raises(UserError, match=r"^reading a clip: ffmpeg failed: .*[Nn]o such file.*check") as error:
        run_ffmpeg(command, what="reading a clip")
    assert "\n" not in str(error.value)


def test_bitexact_output_is_the_same_twice(tmp_path: Path) -> None:
    data = []
    for name in ("a.mp4", "b.mp4"):
        source = ffmpeg.input("testsrc=s=64x64:d=0.5:r=10", format="lavfi")
        run_ffmpeg(source.output(str(tmp_path / name), vcodec="libx264", **BITEXACT), what="encoding")
        data.append((tmp_path / name).read_bytes())
    assert data[0] == data[1]


def test_a_missing_binary_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/such/ffmpeg")
    ffmpeg_exe.cache_clear()
    try:
        with pytest.raises(UserError, match="ffmpeg") as error:
            run_ffmpeg(ffmpeg.input("pipe:").output("pipe:", format="null"), what="starting")
    finally:
        ffmpeg_exe.cache_clear()
    assert "\n" not in str(error.value)


def test_luma_becomes_video_with_flat_chroma_and_comes_back_as_it_was(tmp_path: Path) -> None:
    luma = np.random.default_rng(0).integers(0, 256, (3, 4, 6)).astype(np.uint8)
    stream, data = grey_video(luma, 25)
    output = stream.output("pipe:", format="rawvideo", pix_fmt="yuv420p")
    frames = np.frombuffer(run_ffmpeg(output, what="copying", data=data), np.uint8).reshape(3, -1)
    assert np.array_equal(frames[:, :24].reshape(luma.shape), luma)
    assert np.all(frames[:, 24:] == 128)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells children")
@pytest.mark.parametrize("early", [False, True], ids=["later", "before the kernel is asked"])
def test_ffmpeg_ends_with_a_parent_that_is_killed(early: bool) -> None:
    wait = "vmaf_train.ffmpeg._prctl = lambda: lambda *_: time.sleep(1)\n" if early else ""
    code = (
        f"import ffmpeg, time; import vmaf_train.ffmpeg; from vmaf_train.ffmpeg import run_ffmpeg\n{wait}"
        "slow = ffmpeg.input('testsrc=s=64x64:d=60', format='lavfi', re=None)\n"
        "run_ffmpeg(slow.output('pipe:', format='null'), what='waiting')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        children: list[psutil.Process] = []
        while not children:
            time.sleep(0.05)
            children = psutil.Process(parent.pid).children()
        parent.kill()
        _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_the_complaint_of_svt_av1_is_not_its_chatter() -> None:
    source = ffmpeg.input("color=s=64x64:d=0.1:r=10", format="lavfi")
    command = source.output("/dev/full", format="matroska", vcodec="libsvtav1")
    with pytest.raises(UserError, match=r"^encoding: ffmpeg failed: .*No space left on device"):
        run_ffmpeg(command, what="encoding")


def test_a_run_that_is_stopped_ends_ffmpeg_and_does_not_wait_for_it() -> None:
    def stop(*_: object) -> None:
        raise SystemExit

    slow = ffmpeg.input("testsrc=s=64x64:d=30", format="lavfi", re=None).output("pipe:", format="null")
    before, begin = signal.signal(signal.SIGUSR1, stop), time.monotonic()
    threading.Timer(1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1)).start()
    try:
        with pytest.raises(SystemExit):
            run_ffmpeg(slow, what="waiting")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - begin < 15
