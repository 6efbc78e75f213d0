"""Files: whole or not at all."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from vmaf_train.files import (
    json_text,
    replacing,
    replacing_folder,
    sha256_bytes,
    sha256_file,
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


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "a")
    (tmp_path / "plain").write_text("a")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


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
