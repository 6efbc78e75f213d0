"""The command line: quick to answer, one line for a mistake, a status that scripts can use."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "lightning", "pandas", "onnxruntime", "onnx", "numpy", "av", "matplotlib", "requests")
COMMANDS = (
    *("fetch", "manifest-scan", "frames", "split", "fit", "export", "quantize", "eval", "register"),
    *("score", "filter", "specialize", "inspect", "verify", "sign"),
)
RUN = "import sys; from vmaf_train.cli import main; sys.argv[0] = 'vmaf-train'; main()"


def vmaf_train(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from vmaf_train.cli import main; sys.argv = ['vmaf-train', '--help']\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f" {command} " in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = vmaf_train(command, "--help")
    assert done.returncode == 0
    assert f"vmaf-train {command}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("scor",), "No such command 'scor'"),
        (("fit",), "Missing argument 'model'; see `vmaf-train fit --help`"),
        (("score", "x.mp4", "--every", "0"), "Invalid value for '--every'"),
        (("--fast",), "No such option: --fast"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: tuple[str, ...], complaint: str) -> None:
    done = vmaf_train(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_version_is_the_packages() -> None:
    done = vmaf_train("--version")
    assert (done.returncode, done.stdout) == (0, f"vmaf-train {version('vmaf-train')}\n")


def test_any_file_name_can_be_printed_and_closed_or_full_outputs_are_no_traceback() -> None:
    name = b"no-\xff-utf8.mp4"
    script = f'{shlex.quote(sys.executable)} -c "{RUN}"'
    for words, status, said in (
        (b"score " + name, 1, rb"no clip no-\udcff-utf8.mp4"),
        (b"verify >&-", 0, b""),
        (b"verify >/dev/full", 1, b"cannot write to standard output: No space left on device"),
    ):
        done = subprocess.run(
            ["sh", "-c", script.encode() + b" " + words],
            cwd=ROOT,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert said in done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at the end", "inside the command"])
@pytest.mark.parametrize("arguments", [("verify",), ("--help",)])
def test_a_reader_that_goes_away_gives_the_status_of_a_broken_pipe(
    arguments: tuple[str, ...], unbuffered: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_that_is_killed_leaves_as_after_ctrl_c(name: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from vmaf_train import cli; from vmaf_train.files import replacing\n"
        "@cli.app.command()\n"
        "def wait():\n"
        "    with replacing(Path('out')):\n"
        "        print('waiting', flush=True)\n"
        "        time.sleep(60)\n"
        "sys.argv = ['vmaf-train', 'wait']\n"
        "cli.main()\n"
    )
    number = getattr(signal, name)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        # under nohup the tests themselves ignore SIGHUP, and a command that begins so goes on ignoring it
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (
        130,
        "vmaf-train: interrupted; no file is half-written\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("filter", "{}", "o.mp4"), ("score", "a", "--json", "{}")])
def test_a_path_that_the_system_refuses_is_one_line(command: tuple[str, ...]) -> None:
    name = "x" * 300 + ".mp4"
    done = vmaf_train(*(part.format(name) for part in command))
    assert done.returncode == 1
    assert done.stderr == f"vmaf-train: {name}: File name too long; check the path and its permissions\n"


@pytest.mark.parametrize("command", [("filter", "a.mp4", "{}"), ("score", "a.mp4", "--csv", "{}")])
def test_a_link_to_itself_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    done = vmaf_train(*(part.format(loop) for part in command))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("vmaf-train: ")


def test_no_command_shows_the_help() -> None:
    done = vmaf_train()
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage: vmaf-train" in done.stdout


@pytest.mark.parametrize("command", ["fetch", "manifest-scan", "frames", "split", "register"])
def test_a_stage_outside_a_repository_says_where_to_run(command: str, tmp_path: Path) -> None:
    done = vmaf_train(command, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("vmaf-train: no params.yaml: run this in the top folder of the repository\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "export", "quantize", "eval"])
def test_a_stage_without_its_input_names_the_command_before_it(
    command: str, raw_params: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with open(tmp_path / "params.yaml", "w", encoding="utf-8") as stream:
        YAML().dump(raw_params(), stream)
    done = vmaf_train(command, "nr_metric_v1", folder=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "`vmaf-train " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("torch", "train", ("fit", "nr_metric_v1")),
        ("ruamel", "train", ("fetch",)),
        ("model_signing", "sign", ("verify", "--signatures", "--key", "pub.pem")),
        ("OpenSSL", "sign", ("sign", "--key", "key.pem")),
    ],
)
def test_a_command_of_an_extra_that_is_not_installed_names_it(
    module: str, extra: str, arguments: tuple[str, ...]
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; {RUN}"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"vmaf-train: {module} is not installed, and this command needs it; "
        f"run `pip install 'vmaf-train[{extra}] @ git+https://github.com/vmaf-train/vmaf-train'`, "
        f"or with `-e '.[{extra}]'` in the repository\n"
    )


def test_nohup_keeps_a_command_from_ending_with_its_terminal() -> None:
    code = (
        "import os, signal, sys; from vmaf_train import cli\n"
        "@cli.app.command()\n"
        "def hang_up(): os.kill(os.getpid(), signal.SIGHUP); print('still here')\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "sys.argv = ['vmaf-train', 'hang-up']\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "still here\n", "")


def test_a_reader_that_goes_away_ends_a_command_quietly_with_the_status_of_a_pipe() -> None:
    gone, output = os.pipe()
    os.close(gone)
    command = [sys.executable, "-c", RUN, "verify"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(output)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("allowed", "asked", "said"), [(1, "", "1 1"), (3, "1", "1 1"), (3, "", "3"), (0, "", "None")]
)
def test_torch_has_the_threads_of_a_quota_unless_the_environment_says_another_number(
    allowed: int, asked: str, said: str
) -> None:
    code = (
        f"import os, sys, vmaf_train.cli as cli; cli.quota = lambda: {allowed}\n"
        "sys.argv = ['vmaf-train', '--version']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "import torch; print(os.environ.get('OMP_NUM_THREADS'), torch.get_num_threads())"
    )
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    env |= {"OMP_NUM_THREADS": asked} if asked else {}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    # torch starts no more than there are cores
    assert done.stdout.splitlines()[-1].startswith(said)
