"""Files: whole or not at all."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.files import (
    json_text,
    replacing,
    replacing_folder,
    sha256_bytes,
    sha256_file,
    sweep_leftovers,
    write_bytes,
    write_json,
    write_text,
)


def test_a_failed_write_keeps_the_earlier_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    write_bytes(target, b"yesterday")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"yesterday"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "model.onnx", b"yesterday")
    code = (
        "import signal, resource, sys; from pathlib import Path\n"
        "from vmaf_train.files import write_bytes; from vmaf_train.errors import UserError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_bytes(Path(sys.argv[1]), b'x' * 5000)\n"
        "except UserError as error: print(error)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.onnx")], capture_output=True, text=True, check=True
    )
    assert "cannot write" in result.stdout
    assert "model.onnx" in result.stdout
    assert "unchanged" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"yesterday"


def test_a_folder_takes_the_place_of_the_earlier_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    with replacing_folder(target) as temporary:
        (temporary / "old").write_text("1")
    with replacing_folder(target) as temporary:
        (temporary / "new").write_text("2")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_keeps_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "frames"
    with replacing_folder(target) as temporary:
        (temporary / "old").write_text("1")
    with pytest.raises(RuntimeError), replacing_folder(target) as temporary:
        (temporary / "new").write_text("2")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_take_the_place_of_the_earlier_one_gives_it_back(tmp_path: Path) -> None:
    # the new folder vanishes just before the second of the two renames
    code = (
        "import shutil, sys; from pathlib import Path\n"
        "from vmaf_train.files import replacing_folder; from vmaf_train.errors import UserError\n"
        "renames = []\n"
        "def watch(event, arguments):\n"
        "    if event == 'os.rename':\n"
        "        renames.append(arguments)\n"
        "        if len(renames) == 2: shutil.rmtree(arguments[0])\n"
        "try:\n"
        "    with replacing_folder(Path(sys.argv[1])) as temporary: sys.addaudithook(watch)\n"
        "except UserError as error: print(error)\n"
    )
    target = tmp_path / "frames"
    target.mkdir()
    (target / "old").write_text("1")
    command = [sys.executable, "-c", code, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write folder {target}: No such file or directory; ")
    assert (target / "old").read_text() == "1"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot write folder .*frames: (File exists|Not a directory); "),
        replacing_folder(tmp_path / "file" / "frames"),
    ):
        pass


def test_what_a_killed_process_left_goes_at_the_next_write_and_what_a_living_one_writes_stays(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from vmaf_train.files import replacing, replacing_folder\n"
        "with replacing(Path('m.onnx')) as one, replacing_folder(Path('frames')) as other:\n"
        "    one.write_bytes(b'half'); (other / 'half').touch()\n"
        "    print(one.name, other.name, flush=True); time.sleep(60)\n"
    )

    def write() -> set[str]:
        write_bytes(tmp_path / "m.onnx", b"whole")
        with replacing_folder(tmp_path / "frames"):
            pass
        return {path.name for path in tmp_path.iterdir()}

    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        unfinished = set(process.stdout.readline().split())
        assert len(unfinished) == 2
        assert write() == {"m.onnx", "frames"} | unfinished
        process.kill()
    assert write() == {"m.onnx", "frames"}


def test_a_temporary_that_is_swept_before_it_is_locked_is_made_anew(tmp_path: Path) -> None:
    code = (
        "import fcntl, sys; from pathlib import Path\n"
        "from vmaf_train.files import replacing, replacing_folder, sweep_leftovers\n"
        "paths = [Path('m.onnx'), Path('frames')]\n"
        "def watch(event, arguments):\n"
        "    waits = event == 'fcntl.flock' and arguments[1] == fcntl.LOCK_EX\n"
        "    if waits and paths: sweep_leftovers(paths[0], folders=not paths.pop(0).suffix)\n"
        "sys.addaudithook(watch)\n"
        "with replacing(Path('m.onnx')) as one: one.write_bytes(b'1')\n"
        "with replacing_folder(Path('frames')) as other: (other / '1').touch()\n"
        "assert not paths\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "m.onnx").read_bytes() == b"1"
    assert (tmp_path / "frames" / "1").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"m.onnx", "frames"}


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    files = [".bash.settings", ".m.onnx", ".m.onnx.k3j2h1.onnx", ".m.onnx.original.onnx"]
    files += [".m.onnx.unfinished-k3j2h1.json", ".n.onnx.unfinished-k3j2h1.onnx"]
    folders = [
        "corpus",
        ".corpus.old",
        ".corpus.backup",
        ".corpusother",
        "x.corpus.unfinished-k3j2h1",
        ".m.onnx.unfinished-k3j2h2.onnx",
    ]
    for name in [*files, ".m.onnx.unfinished-k3j2h1.onnx"]:
        (tmp_path / name).touch()
    for name in [*folders, ".corpus.unfinished-k3j2h1", ".corpus.old.unfinished-k3j2h1"]:
        (tmp_path / name).mkdir()
    (tmp_path / ".m.onnx.unfinished-symlink.onnx").symlink_to(tmp_path / ".m.onnx")
    (tmp_path / ".corpus.unfinished-symlink").symlink_to(tmp_path / "corpus")
    os.mkfifo(tmp_path / ".m.onnx.unfinished-a_pipe.onnx")
    others = [
        ".m.onnx.unfinished-symlink.onnx",
        ".corpus.unfinished-symlink",
        ".m.onnx.unfinished-a_pipe.onnx",
    ]
    for name in ("bash", "m.onnx"):
        sweep_leftovers(tmp_path / name, folders=False)
    sweep_leftovers(tmp_path / "corpus")
    assert {path.name for path in tmp_path.iterdir()} == {*files, *folders, *others}


def test_a_folder_moved_away_by_a_process_killed_right_then_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".frames.old.unfinished-k3j2h1" / "old").mkdir(parents=True)
    (tmp_path / ".frames.old.unfinished-k3j2h1" / "old" / "luma.npy").write_text("1")
    (tmp_path / ".frames.unfinished-k3j2h2").mkdir()
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "frames"):
        raise RuntimeError
    assert (tmp_path / "frames" / "luma.npy").read_text() == "1"
    assert list(tmp_path.iterdir()) == [tmp_path / "frames"]


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "a")
    (tmp_path / "plain").write_text("a")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    write_text(secret, "a")
    secret.chmod(0o600)
    write_text(secret, "b")
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("b", 0o600)


def test_json_keeps_the_order_of_keys_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "x", "b": 1, "a": "ä"})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "name": "x",\n  "b": 1,\n  "a": "ä"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


def test_both_hashes_are_sha256(tmp_path: Path) -> None:
    data = b"x" * 3_000_000
    (tmp_path / "big").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_file(tmp_path / "big") == sha256_bytes(data) == expected


def test_a_written_folder_has_the_usual_permissions(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "ours"):
        pass
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_bytes_are_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, synced = tmp_path / "model.onnx", []

    def fsync(handle: int) -> None:
        synced.append((os.pread(handle, 9, 0), target.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(target, b"whole")
    assert synced == [(b"whole", False)]
