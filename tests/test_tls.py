"""Certificates: everything is verified, and the one waiver waives the dates of one host alone."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from faulty_server import Fault, Site, authority, expired, serving

from vmaf_train.download import Rules, download
from vmaf_train.errors import UserError
from vmaf_train.tls import ca_bundle, dates_ignored, session_for

SWITCH = "corpus.konvid_1k.allow_expired_certificate"
BODY = b"archive" * 999


def rules(pem: Path, *, ignore_dates: bool = False) -> Rules:
    return Rules(
        attempts=2,
        backoff=0.001,
        connect_timeout=2,
        read_timeout=2,
        ca_file=pem,
        dates_switch=SWITCH,
        ignore_dates=ignore_dates,
    )


def site() -> Site:
    return Site(files={"/a.zip": BODY})


def refusal(served: Site, folder: Path, asked: Rules) -> str:
    with pytest.raises(UserError) as error:
        download(served.url("/a.zip"), folder / "a.zip", asked)
    assert not (folder / "a.zip").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("ignore_dates", [False, True])
def test_a_valid_certificate_of_a_trusted_authority_is_accepted(tmp_path: Path, ignore_dates: bool) -> None:
    ca, pem = authority(tmp_path)
    with serving(site(), ca.issue_cert("localhost")) as served:
        download(served.url("/a.zip"), tmp_path / "a.zip", rules(pem, ignore_dates=ignore_dates))
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_an_expired_certificate_stops_and_names_the_switch(tmp_path: Path) -> None:
    ca, pem = authority(tmp_path)
    with serving(site(), expired(ca)) as served:
        text = refusal(served, tmp_path, rules(pem))
    assert "has expired, so nothing was downloaded" in text
    assert f"set {SWITCH}: true in params.yaml" in text
    assert served.asked == []


def test_with_the_switch_an_expired_certificate_is_accepted_and_that_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ca, pem = authority(tmp_path)
    with serving(site(), expired(ca)) as served:
        served.faults = [Fault("cut", at=1000)]
        download(served.url("/a.zip"), tmp_path / "a.zip", rules(pem, ignore_dates=True))
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert "the dates of the certificate" in capfd.readouterr().err


@pytest.mark.parametrize("ignore_dates", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_a_wrong_host_name_is_refused_with_and_without_the_switch(
    tmp_path: Path, ignore_dates: bool, old: bool
) -> None:
    ca, pem = authority(tmp_path)
    leaf = expired(ca, "example.org") if old else ca.issue_cert("example.org")
    with serving(site(), leaf) as served:
        text = refusal(served, tmp_path, rules(pem, ignore_dates=ignore_dates))
    assert "the TLS certificate is not for localhost" in text
    assert "no switch accepts this" in text
    assert served.asked == []


@pytest.mark.parametrize("ignore_dates", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_an_unknown_authority_is_refused_with_and_without_the_switch(
    tmp_path: Path, ignore_dates: bool, old: bool
) -> None:
    _, pem = authority(tmp_path)
    stranger = trustme.CA()
    leaf = expired(stranger) if old else stranger.issue_cert("localhost")
    with serving(site(), leaf) as served:
        text = refusal(served, tmp_path, rules(pem, ignore_dates=ignore_dates))
    assert "is not trusted" in text
    assert "no switch accepts this" in text
    assert served.asked == []


def test_a_certificate_of_the_future_is_told_apart(tmp_path: Path) -> None:
    ca, pem = authority(tmp_path)
    leaf = ca.issue_cert("localhost", not_before=datetime(2090, 1, 1, tzinfo=UTC))
    with serving(site(), leaf) as served:
        assert "is not valid yet" in refusal(served, tmp_path, rules(pem))


def test_the_waiver_does_not_follow_a_redirect_to_another_host(tmp_path: Path) -> None:
    ca, pem = authority(tmp_path)
    with serving(site(), expired(ca)) as other, serving(site(), expired(ca)) as served:
        served.faults = [Fault("redirect", value=other.url("/a.zip"))]
        text = refusal(served, tmp_path, rules(pem, ignore_dates=True))
    assert f"certificate of {other.base.removeprefix('https://')} has expired" in text
    assert SWITCH not in text
    assert other.asked == []


def test_a_redirect_to_plain_http_is_refused(tmp_path: Path) -> None:
    ca, pem = authority(tmp_path)
    with serving(site()) as plain, serving(site(), ca.issue_cert("localhost")) as served:
        served.faults = [Fault("redirect", value=plain.url("/a.zip"))]
        text = refusal(served, tmp_path, rules(pem))
    assert f"redirects to {plain.url('/a.zip')}, which is not encrypted" in text


def test_a_redirect_over_plain_http_back_to_https_is_refused(tmp_path: Path) -> None:
    ca, pem = authority(tmp_path)
    leaf = ca.issue_cert("localhost")
    with serving(site(), leaf) as last, serving(site()) as plain, serving(site(), leaf) as served:
        served.faults = [Fault("redirect", value=plain.url("/a.zip"))]
        plain.faults = [Fault("redirect", value=last.url("/a.zip"))]
        text = refusal(served, tmp_path, rules(pem))
    assert f"redirects to {plain.url('/a.zip')}, which is not encrypted" in text


def test_the_waiving_context_requires_chain_and_host_name(tmp_path: Path) -> None:
    _, pem = authority(tmp_path)
    context = dates_ignored(str(pem))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] == 1


def test_the_usual_variables_name_the_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca, pem = authority(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert ca_bundle().endswith("cacert.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert ca_bundle() == str(pem)
    with serving(site(), ca.issue_cert("localhost")) as served:
        download(served.url("/a.zip"), tmp_path / "a.zip", Rules(attempts=1))
    assert (tmp_path / "a.zip").read_bytes() == BODY
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(UserError, match=r"no file of certificate authorities at .*none\.pem"):
        ca_bundle()


@pytest.mark.parametrize(
    ("asked", "reached", "waived"),
    [
        ("https://host.example/a.zip", "https://host.example/b", True),
        ("https://HOST.example/a.zip", "https://host.example/b", True),
        ("https://host.example/a.zip", "https://host.example.evil.org/b", False),
        ("https://host.example:844/a.zip", "https://host.example:8443/b", False),
        ("https://host.example/a.zip", "https://other.example/b", False),
        # a redirect from HTTP to HTTPS
        ("http://host.example/a.zip", "https://host.example/b", False),
    ],
)
def test_the_waiver_is_for_https_of_one_host_and_port_alone(
    tmp_path: Path, asked: str, reached: str, waived: bool
) -> None:
    _, pem = authority(tmp_path)
    session = session_for(asked, bundle=str(pem), ignore_dates=True)
    plain = session_for(asked, bundle=str(pem)).get_adapter(reached)
    assert (type(session.get_adapter(reached)) is not type(plain)) == waived


def test_a_folder_of_authorities_serves_the_waiver_too(tmp_path: Path) -> None:
    _, pem = authority(tmp_path)
    context = dates_ignored(str(pem.parent))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
