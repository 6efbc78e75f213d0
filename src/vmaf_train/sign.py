"""Detached signatures of the registered models, with the `model-signing` library.

A model's signature `<id>.sig` covers the registry, its ONNX file, its sidecar and its int8 file: exactly
these, copied into a folder of their own, so nothing else in the model directory matters.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmaf_train.errors import UserError
from vmaf_train.files import write_bytes
from vmaf_train.graph import MAX_BYTES
from vmaf_train.registry import NAME, Entry, bundle_name, read_registry, write_registry
from vmaf_train.regular_files import inside, read_regular

MAX_BUNDLE_BYTES = 2**20
MAX_KEY_BYTES = 2**16
PASSWORD = "VMAF_TRAIN_KEY_PASSWORD"  # the variable that holds the password of a locked key


@dataclass(frozen=True)
class Verifier:
    """Who must have signed: the holder of a key, or an identity known to Sigstore."""

    key: Path | None = None
    """PEM file of the public key."""
    identity: str | None = None
    """For keyless signatures: for example the address of the release workflow."""
    issuer: str | None = None
    """For keyless signatures: for example https://token.actions.githubusercontent.com."""


def sign(folder: Path, key: Path, *, password: str | None = None) -> list[Path]:
    """Sign every registered model with an elliptic-curve private key (P-256, P-384 or P-521).

    A row of the registry that names no `sigstore_bundle` is given one first, as the signatures cover
    the registry.

    Returns:
        The signatures written, `<id>.sig` in the model directory.

    Raises:
        UserError: an unusable key or password, no registry, or a file that is missing.
    """
    from model_signing import signing

    config: Any = signing.Config()  # type: ignore[no-untyped-call]
    try:
        # the library hands the password to `cryptography`, which takes bytes
        secret: Any = password.encode() if password else None
        config.use_elliptic_key_signer(private_key=_key_file(key), password=secret)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{key}: {_unusable(key, error, password)}") from error
    written = []
    for entry in name_bundles(folder):
        target = folder / bundle_name(entry.id)
        with tempfile.TemporaryDirectory() as temporary:
            staged = stage(entry, folder, Path(temporary))
            bundle = Path(temporary) / "bundle.json"
            config.sign(staged, bundle)
            write_bytes(target, bundle.read_bytes())
        written.append(target)
    return written


def verify_signature(entry: Entry, folder: Path, verifier: Verifier) -> None:
    """Check the signature of one registered model; anything but a valid one is refused.

    Raises:
        UserError: no signature, another signer, or a file that is not the one that was signed.
    """
    if entry.sigstore_bundle is None:
        raise UserError(
            f"{entry.id}: the registry names no sigstore_bundle; run `vmaf-train sign --key KEY.pem`"
        )
    path = folder / entry.sigstore_bundle
    if not path.exists():
        raise UserError(f"{path}: no signature of {entry.id!r}; run `vmaf-train sign --key KEY.pem`")
    bundle = read_regular(inside(path, folder), limit=MAX_BUNDLE_BYTES)
    config = verifying_config(verifier)
    with tempfile.TemporaryDirectory() as temporary:
        staged = stage(entry, folder, Path(temporary))
        copy = Path(temporary) / "bundle.json"
        copy.write_bytes(bundle)
        problem = _verify(config, staged, copy)
    if problem is not None:
        raise UserError(
            f"{path}: the signature does not hold ({problem}); do not use the model, fetch it again"
        )


def stage(entry: Entry, folder: Path, into: Path) -> Path:
    """Copy the files that a signature covers into `into/<id>`; return that folder.

    Raises:
        UserError: one of them is missing or is no regular file inside the model directory.
    """
    staged = into / entry.id
    staged.mkdir()
    for name in (NAME, entry.file, entry.sidecar, entry.int8_file):
        if name is not None:
            (staged / name).write_bytes(read_regular(inside(folder / name, folder), limit=MAX_BYTES))
    return staged


def name_bundles(folder: Path) -> tuple[Entry, ...]:
    """The rows of the registry, each with the path of its signature; written only when one lacks it."""
    entries = read_registry(folder / NAME).entries
    named = tuple(replace(entry, sigstore_bundle=bundle_name(entry.id)) for entry in entries)
    if named != entries:
        write_registry(folder / NAME, named)
    return named


def _unusable(key: Path, error: Exception, password: str | None) -> str:
    """Why a private key cannot be used, and what to do."""
    # `cryptography` raises it only for a password that is there, but not needed, or the other way round
    if isinstance(error, TypeError):
        if password:
            return f"the key is not encrypted, but {PASSWORD} holds a password; unset it"
        return f"the key is encrypted; put its password into the environment variable {PASSWORD}"
    if isinstance(error, ValueError) and password and b"ENCRYPTED" in key.read_bytes():
        return f"the password in {PASSWORD} is wrong ({_one_line(error)}); correct it"
    return (
        f"not an elliptic-curve private key in PEM form ({_no_curve(error)}); make one with "
        "`openssl ecparam -name prime256v1 -genkey -noout -out key.pem`"
    )


def _no_curve(error: Exception) -> str:
    # the library asks a key of any kind for its curve
    return "a key of another kind" if isinstance(error, AttributeError) else _one_line(error)


def _key_file(key: Path) -> Path:
    read_regular(key.resolve(), limit=MAX_KEY_BYTES)
    return key


def verifying_config(verifier: Verifier) -> Any:
    """The library's settings for one verifier; made anew for each signature.

    Raises:
        UserError: neither a key nor an identity with its issuer, an unusable key, or no trust root.
    """
    from model_signing import verifying

    config: Any = verifying.Config()  # type: ignore[no-untyped-call]
    if verifier.key is not None and verifier.identity is None and verifier.issuer is None:
        try:
            return config.use_elliptic_key_verifier(public_key=_key_file(verifier.key))
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{verifier.key}: not an elliptic-curve public key in PEM form "
                f"({_no_curve(error)}); make it with "
                "`openssl ec -in key.pem -pubout -out pub.pem`"
            ) from error
    if verifier.key is None and verifier.identity and verifier.issuer:
        return _keyless(config, verifier.identity, verifier.issuer)
    raise UserError(
        "--signatures needs either --key PUB.pem, or both --identity and --issuer; give one of them"
    )


def _keyless(config: Any, identity: str, issuer: str) -> Any:
    from sigstore.errors import Error as SigstoreError
    from sigstore.errors import TUFError

    try:
        return config.use_sigstore_verifier(identity=identity, oidc_issuer=issuer)
    except (SigstoreError, TUFError, OSError) as error:
        raise UserError(
            f"Sigstore's trust root cannot be fetched ({error}); connect to the network"
        ) from error


def _verify(config: Any, staged: Path, bundle: Path) -> str | None:
    """What is wrong with a signature, in one line, or None."""
    from cryptography.exceptions import InvalidSignature
    from sigstore.errors import Error as SigstoreError

    try:
        config.verify(staged, bundle)
    except InvalidSignature:
        return "the signed text was altered"
    except SigstoreError as error:
        return _one_line(error)
    # the library reads the bundle with plain dictionary and attribute access
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        return _one_line(error)
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
