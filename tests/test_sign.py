"""Signatures are detached, cover every file of a model, and verification fails closed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from model_folder import ID, change_row, make_folder
from model_signing import verifying
from typer.testing import CliRunner

from vmaf_train.cli import app
from vmaf_train.errors import UserError
from vmaf_train.files import sha256_file
from vmaf_train.registry import read_registry
from vmaf_train.sign import Verifier, sign, verify_signature
from vmaf_train.verify import verify

Keys = tuple[Path, Path]


def make_keys(folder: Path, name: str, password: bytes | None = None, *, kind: str = "ec") -> Keys:
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = ec.generate_private_key(ec.SECP256R1())
    if kind == "rsa":
        private = rsa.generate_private_key(65537, 2048)
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        locked = serialization.BestAvailableEncryption(password)
    key, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    key.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    public.write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return key, public


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path, "key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiny")


def check(folder: Path, public: Path) -> None:
    verify_signature(read_registry(folder / "registry.json").find(ID), folder, Verifier(key=public))


def test_a_signed_directory_verifies_and_is_otherwise_unchanged(folder: Path, keys: Keys) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sign(folder, keys[0]) == [folder / f"{ID}.sig"]
    check(folder, keys[1])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert after.pop(f"{ID}.sig")
    assert after == before
    assert all(found.problem is None for found in verify(folder, verifier=Verifier(key=keys[1])))


def test_a_locked_key_needs_its_password(folder: Path, tmp_path: Path) -> None:
    key, public = make_keys(tmp_path, "locked", b"secret")
    for password in (None, ""):
        with pytest.raises(
            UserError, match=r"locked\.pem: the key is encrypted; put .* VMAF_TRAIN_KEY_PASSWORD$"
        ):
            sign(folder, key, password=password)
    with pytest.raises(
        UserError, match=r"locked\.pem: the password in VMAF_TRAIN_KEY_PASSWORD is wrong .*; corr"
    ):
        sign(folder, key, password="another")
    sign(folder, key, password="secret")
    check(folder, public)


def test_a_password_for_a_key_that_has_none_is_told(folder: Path, keys: Keys) -> None:
    with pytest.raises(UserError, match=r"key\.pem: the key is not encrypted, but VMAF_TRAIN_.*; unset it"):
        sign(folder, keys[0], password="secret")
    keys[0].write_text("hello")
    with pytest.raises(UserError, match="not an elliptic-curve private key in PEM form"):
        sign(folder, keys[0], password="secret")


@pytest.mark.parametrize("password", [None, "secret"])
def test_an_rsa_key_is_told_to_be_of_another_kind(folder: Path, tmp_path: Path, password: str | None) -> None:
    key, public = make_keys(tmp_path, "rsa", password.encode() if password else None, kind="rsa")
    with pytest.raises(
        UserError, match=r"not an elliptic-curve private key in PEM form \(a key of another kind\)"
    ):
        sign(folder, key, password=password)
    with pytest.raises(
        UserError, match=r"not an elliptic-curve public key in PEM form \(a key of another kind\)"
    ):
        check_key(folder, public)


@pytest.mark.parametrize("name", [f"{ID}.onnx", f"{ID}.json", "registry.json"])
def test_one_altered_byte_in_any_covered_file_is_refused(folder: Path, keys: Keys, name: str) -> None:
    sign(folder, keys[0])
    entry = read_registry(folder / "registry.json").find(ID)
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=f"does not hold.*Hash mismatch for '{name}'"):
        verify_signature(entry, folder, Verifier(key=keys[1]))


def test_a_file_that_is_missing_is_refused(folder: Path, keys: Keys) -> None:
    sign(folder, keys[0])
    (folder / f"{ID}.json").unlink()
    with pytest.raises(UserError, match="no such file"):
        check(folder, keys[1])


def test_a_missing_signature_is_refused(folder: Path, keys: Keys) -> None:
    with pytest.raises(UserError, match=f"no signature of '{ID}'; run `vmaf-train sign"):
        check(folder, keys[1])


def test_a_row_without_a_bundle_is_refused_until_it_is_signed(folder: Path, keys: Keys) -> None:
    sign(folder, keys[0])
    change_row(folder, sigstore_bundle=None)
    with pytest.raises(UserError, match="names no sigstore_bundle; run `vmaf-train sign"):
        check(folder, keys[1])
    sign(folder, keys[0])
    check(folder, keys[1])


def test_another_key_is_refused(folder: Path, keys: Keys, tmp_path: Path) -> None:
    sign(folder, keys[0])
    with pytest.raises(UserError, match="Key mismatch"):
        check(folder, make_keys(tmp_path, "other")[1])


def test_another_key_that_claims_the_right_hint_is_refused(folder: Path, keys: Keys, tmp_path: Path) -> None:
    other = make_keys(tmp_path, "other")
    sign(folder, keys[0])
    hint = json.loads((folder / f"{ID}.sig").read_text())["verificationMaterial"]["publicKey"]["hint"]
    sign(folder, other[0])
    forged = json.loads((folder / f"{ID}.sig").read_text())
    forged["verificationMaterial"]["publicKey"]["hint"] = hint
    (folder / f"{ID}.sig").write_text(json.dumps(forged))
    with pytest.raises(UserError, match="the signed text was altered"):
        check(folder, keys[1])


def test_the_signature_of_another_directory_is_refused(folder: Path, keys: Keys, tmp_path: Path) -> None:
    other = make_folder(tmp_path / "other")
    change_row(other, licence="another")
    sign(other, keys[0])
    (folder / f"{ID}.sig").write_bytes((other / f"{ID}.sig").read_bytes())
    with pytest.raises(UserError, match=r"does not hold.*registry\.json"):
        check(folder, keys[1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "{}",
        lambda text: "[]",
        lambda text: "null",
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: text.replace("dsseEnvelope", "envelope"),
        lambda text: text.replace('"signatures"', '"signature"'),
        lambda text: text.replace("vnd.dev.sigstore.bundle.v0.3+json", "x"),
        lambda text: text.replace('"payload": "', '"payload": "AAAA').replace(
            '"payload":"', '"payload":"AAAA'
        ),
        lambda text: text + " " * 2**21,
    ],
    ids=[
        "empty",
        "object",
        "list",
        "null",
        "half",
        "brackets",
        "envelope",
        "signatures",
        "type",
        "payload",
        "big",
    ],
)
def test_a_damaged_signature_is_refused_in_one_line(
    folder: Path, keys: Keys, damage: Callable[[str], str]
) -> None:
    sign(folder, keys[0])
    path = folder / f"{ID}.sig"
    changed = damage(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(UserError) as refusal:
        check(folder, keys[1])
    assert "\n" not in str(refusal.value)


def test_an_envelope_without_signatures_is_refused(folder: Path, keys: Keys) -> None:
    sign(folder, keys[0])
    path = folder / f"{ID}.sig"
    bundle = json.loads(path.read_text())
    bundle["dsseEnvelope"]["signatures"] = []
    path.write_text(json.dumps(bundle))
    with pytest.raises(UserError, match="does not hold"):
        check(folder, keys[1])


def test_verify_names_the_missing_signature(folder: Path, keys: Keys) -> None:
    found = [check for check in verify(folder, verifier=Verifier(key=keys[1])) if check.problem]
    assert [(one.subject, one.check) for one in found] == [(ID, "signature")]


@pytest.mark.parametrize(
    "verifier",
    [
        Verifier(),
        Verifier(identity="someone"),
        Verifier(issuer="https://issuer"),
        Verifier(key=Path("k"), identity="someone"),
    ],
)
def test_who_must_have_signed_has_to_be_said(folder: Path, verifier: Verifier) -> None:
    with pytest.raises(UserError, match="needs either --key"):
        verify(folder, verifier=verifier)


def test_unusable_keys_are_named(folder: Path, tmp_path: Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    other = tmp_path / "ed25519.pem"
    other.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (tmp_path / "text.pem").write_text("hello")
    for path in (other, tmp_path / "text.pem"):
        with pytest.raises(UserError, match=r"\.pem: not an elliptic-curve private key in PEM form"):
            sign(folder, path)
        with pytest.raises(UserError, match=r"\.pem: not an elliptic-curve public key in PEM form"):
            check_key(folder, path)
    with pytest.raises(UserError, match=r"none\.pem: cannot be opened"):
        sign(folder, tmp_path / "none.pem")


def check_key(folder: Path, path: Path) -> None:
    verify(folder, verifier=Verifier(key=path))


def test_the_commands_sign_and_verify(folder: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    run = CliRunner().invoke
    unsigned = run(app, ["verify", "--signatures", "--key", str(keys[1])])
    assert isinstance(unsigned.exception, UserError)
    assert run(app, ["sign", "--key", str(keys[0])]).output == f"signed: {folder / ID}.sig\n"
    assert run(app, ["verify", "--signatures", "--key", str(keys[1])]).exit_code == 0
    forgotten = run(app, ["verify", "--key", str(keys[1])])
    assert "add --signatures" in str(forgotten.exception)


def test_an_identity_and_its_issuer_reach_sigstore_as_they_were_given(
    folder: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    sign(folder, keys[0])
    asked: list[dict[str, str]] = []

    # Sigstore itself would ask the network for its trust root
    def keyless(config: verifying.Config, **given: str) -> verifying.Config:
        asked.append(given)
        return config.use_elliptic_key_verifier(public_key=keys[1])

    monkeypatch.setattr(verifying.Config, "use_sigstore_verifier", keyless)
    arguments = ["verify", "--signatures", "--identity", "someone", "--issuer", "https://issuer"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert asked[-1] == {"identity": "someone", "oidc_issuer": "https://issuer"}


def test_the_command_reads_the_password_of_a_locked_key_from_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    key, public = make_keys(tmp_path, "locked", b"secret")
    done = CliRunner().invoke(app, ["sign", "--key", str(key)], env={"VMAF_TRAIN_KEY_PASSWORD": "secret"})
    assert done.exit_code == 0, done.exception
    check(folder, public)


@pytest.mark.parametrize("option", ["--key", "--identity", "--issuer"])
def test_who_signed_is_never_given_in_vain(
    folder: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    forgotten = CliRunner().invoke(app, ["verify", option, "x"])
    assert "check signatures: add --signatures" in str(forgotten.exception)


def test_an_altered_int8_file_is_refused(folder: Path, keys: Keys) -> None:
    path = folder / f"{ID}.int8.onnx"
    path.write_bytes((folder / f"{ID}.onnx").read_bytes())
    int8 = {"int8_file": path.name, "int8_sha256": sha256_file(path), "quant_accuracy_budget_plcc": 0.01}
    change_row(folder, quant_mode="static_qdq", **int8)
    sign(folder, keys[0])
    check(folder, keys[1])
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match=rf"does not hold.*Hash mismatch for '{ID}\.int8\.onnx'"):
        check(folder, keys[1])


def test_a_key_and_an_issuer_together_are_refused(folder: Path, keys: Keys) -> None:
    with pytest.raises(UserError, match="needs either --key"):
        verify(folder, verifier=Verifier(key=keys[1], issuer="https://issuer"))
