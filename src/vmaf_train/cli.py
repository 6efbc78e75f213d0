"""The command `vmaf-train`: one sub-command a stage, and the ones that use the models.

Nothing heavy is imported before a command runs, so `--help` answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from vmaf_train.cli_use import add_commands
from vmaf_train.cores import quota
from vmaf_train.errors import UserError

if TYPE_CHECKING:
    from vmaf_train.layout import Layout
    from vmaf_train.params import Params

PIPELINE = "Pipeline stages (run by `dvc repro`)"
TRUST = "Check and sign the models"
INTERRUPTED = 130  # the shell's status for Ctrl-C
SOURCE = "git+https://github.com/vmaf-train/vmaf-train"
SIGNING = {"model_signing", "sigstore", "OpenSSL"}  # what the extra [sign] brings; the others are of [train]
STOPPED = "interrupted; no file is half-written"

app = typer.Typer(
    name="vmaf-train",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"vmaf-train {version('vmaf-train')}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tiny perceptual-video models that anyone can rebuild, check and use."""


ModelId = Annotated[str, typer.Argument(help="A model id of params.yaml, for example nr_metric_v1.")]


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 1 (2: wrong usage)."""
    _prepare_streams()
    _stop_on_signals()
    if allowed := quota():
        # OpenMP's threads wait in busy loops; one for each core that torch sees would use up the quota
        os.environ.setdefault("OMP_NUM_THREADS", str(allowed))
    try:
        # a command gives a status only when it ends by typer.Exit
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        _leave(1, str(error))
    except TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "vmaf-train"
        # not every usage error carries format_message, all carry their text
        said = getattr(error, "format_message", error.__str__)().rstrip(".")
        if not said:  # no command was given: the help has been shown
            raise SystemExit(2) from None
        _leave(2, f"{said}; see `{command} --help`")
    except (KeyboardInterrupt, typer.Abort):
        _leave(INTERRUPTED, STOPPED)
    except ModuleNotFoundError as error:
        _leave(1, _not_installed(error))
    except (BrokenPipeError, SystemExit) as error:
        # typer makes status 1 of a broken pipe
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        # the reader of our output went away (`| head`): leave quietly, as other tools do
        _drop_stdout()
        raise SystemExit(141) from None
    except OSError as error:
        if error.filename is not None:
            _leave(1, f"{error.filename}: {error.strerror}; check the path and its permissions")
        if error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        _drop_stdout()
        _leave(1, f"cannot write to standard output: {error.strerror}")
    if status == INTERRUPTED:  # typer turns Ctrl-C inside a command into this status, without a word
        _leave(INTERRUPTED, STOPPED)
    raise SystemExit(status)


def _prepare_streams() -> None:
    """Let any file name be printed, and let closed streams swallow what is printed to them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _stop_on_signals() -> None:
    """Let `kill`, `timeout` and a closed terminal end a command as Ctrl-C does, with nothing half-written."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` has it ignored, and so it stays
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _drop_stdout() -> None:
    """Nothing more can be written there: neither now nor when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(status: int, text: str) -> NoReturn:
    print(f"vmaf-train: {text}", file=sys.stderr)
    raise SystemExit(status)


def _not_installed(error: ModuleNotFoundError) -> str:
    """What to install: the plain package brings what the using commands need, extras bring the rest."""
    missing = (error.name or "").partition(".")[0]
    if missing in ("", "vmaf_train"):
        raise error
    extra = "sign" if missing in SIGNING else "train"
    return (
        f"{missing} is not installed, and this command needs it; "
        f"run `pip install 'vmaf-train[{extra}] @ {SOURCE}'`, or with `-e '.[{extra}]'` in the repository"
    )


def _stage() -> tuple[Params, Layout]:
    from vmaf_train.layout import Layout
    from vmaf_train.params_reader import read_params
    from vmaf_train.workspace import check_pipeline, run_own_sources

    layout = Layout()
    run_own_sources(layout)
    params = read_params(layout.params)
    check_pipeline(params, layout)
    return params, layout


@app.command(rich_help_panel=PIPELINE)
def fetch() -> None:
    """Put the corpus into data/corpus: rendered (synthetic), downloaded (konvid-1k) or a folder of yours."""
    from vmaf_train.fetch import fetch as run

    run(*_stage())


@app.command("manifest-scan", rich_help_panel=PIPELINE)
def manifest_scan() -> None:
    """Pin every clip by SHA-256, probe it and join its score: data/manifest.parquet."""
    from vmaf_train.manifest import manifest as run

    run(*_stage())


@app.command(rich_help_panel=PIPELINE)
def frames() -> None:
    """Extract the middle luma frame of each clip, its fragments and its degraded twins: data/frames."""
    from vmaf_train.frames import frames as run

    run(*_stage())


@app.command(rich_help_panel=PIPELINE)
def split() -> None:
    """Assign each scene to train, val or test by the hash of its key: data/split.parquet."""
    from vmaf_train.split import SPLITS
    from vmaf_train.split import split as run

    clips = run(*_stage())
    print("split: " + ", ".join(f"{clips[name]} {name}" for name in SPLITS))


@app.command(rich_help_panel=PIPELINE)
def fit(model: ModelId) -> None:
    """Train one model and keep its best checkpoint or the last: data/checkpoints."""
    from lightning.pytorch.utilities import rank_zero_only

    from vmaf_train.fit import fit as run

    rank_zero_only(print)(f"fit {model}: {run(model, *_stage())}")


@app.command(rich_help_panel=PIPELINE)
def export(model: ModelId) -> None:
    """Write the ONNX file of one model and compare it with the network it came from: model/tiny."""
    from vmaf_train.export import export as run

    run(model, *_stage())


@app.command(rich_help_panel=PIPELINE)
def quantize(model: ModelId) -> None:
    """Make the static QDQ int8 twin of one model: data/int8; it ships where the model's params say so."""
    from vmaf_train.quantize import quantize as run

    run(model, *_stage())


@app.command("eval", rich_help_panel=PIPELINE)
def eval_(model: ModelId) -> None:
    """Measure the exported ONNX file on val and test beside its baseline: metrics/."""
    from vmaf_train.eval import eval_model as run

    run(model, *_stage())


@app.command(rich_help_panel=PIPELINE)
def register() -> None:
    """Write sidecars, registry.json and model cards for all models."""
    from vmaf_train.register import register as run

    run(*_stage())


add_commands(app)


@app.command(rich_help_panel=TRUST)
def verify(
    signatures: Annotated[bool, typer.Option("--signatures", help="Check the signatures too.")] = False,
    key: Annotated[Path | None, typer.Option(help="Public key (PEM) that must have signed.")] = None,
    identity: Annotated[str | None, typer.Option(help="Sigstore identity that must have signed.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Who vouches for that identity (a URL).")] = None,
) -> None:
    """Check the model directory: registry, hashes, graphs, sidecars, stray files, and signatures if asked."""
    from vmaf_train.load import models_dir
    from vmaf_train.sign import Verifier
    from vmaf_train.verify import report

    if not signatures and (key or identity or issuer):
        raise UserError("--key, --identity and --issuer check signatures: add --signatures")
    report(models_dir(), verifier=Verifier(key, identity, issuer) if signatures else None)


@app.command(rich_help_panel=TRUST)
def sign(
    key: Annotated[Path, typer.Option(help="Private key (PEM, elliptic curve).")],
) -> None:
    """Sign every registered model: model/tiny/<id>.sig. A password is read from VMAF_TRAIN_KEY_PASSWORD."""
    from vmaf_train.load import models_dir
    from vmaf_train.sign import PASSWORD
    from vmaf_train.sign import sign as run

    for path in run(models_dir(), key, password=os.environ.get(PASSWORD)):
        print(f"signed: {path}")


if __name__ == "__main__":
    main()
