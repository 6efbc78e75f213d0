"""HTTPS sessions that always verify chain and host name; at most the validity dates can be waived."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vmaf_train.errors import UserError

if TYPE_CHECKING:
    import requests

NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for
NOT_YET_VALID, EXPIRED, HOSTNAME_MISMATCH = 9, 10, 62  # OpenSSL's X509_V_ERR_... numbers
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def ca_bundle(ca_file: str | Path | None = None) -> str:
    """The file (or folder) of trusted authorities: `ca_file`, else the usual variables, else certifi's list.

    Raises:
        UserError: the variable names nothing that exists.
    """
    import certifi

    for name in BUNDLE_VARIABLES:
        ca_file = ca_file or os.environ.get(name)
    if ca_file and not Path(ca_file).exists():
        raise UserError(
            f"no file of certificate authorities at {ca_file}; correct {' or '.join(BUNDLE_VARIABLES)}"
        )
    return str(ca_file or certifi.where())


def session_for(url: str, *, bundle: str, ignore_dates: bool = False) -> requests.Session:
    """A session that verifies everything, except with `ignore_dates` the dates of this URL's host.

    Chain and host name of that host stay verified, and so does everything of any other host that a
    redirect may lead to.
    """
    import requests
    from requests.adapters import HTTPAdapter

    class NoDates(HTTPAdapter):
        """An adapter whose connections ignore the dates of certificates."""

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=dates_ignored(bundle), **kwargs)

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            return super().proxy_manager_for(*args, ssl_context=dates_ignored(bundle), **kwargs)

    session = requests.Session()
    session.max_redirects = 10
    parts = urlsplit(url)
    if ignore_dates and parts.scheme == "https":
        # the slash at the end keeps host.example.evil.org away from the adapter of host.example
        session.mount(f"https://{parts.netloc.lower()}/", NoDates())
    return session


def dates_ignored(bundle: str) -> ssl.SSLContext:
    """The default context (chain and host name required) with the validity dates left unchecked."""
    folder = Path(bundle).is_dir()
    context = ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    return context


def verification_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """The certificate error inside a request's error, however deep, or None."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        item = pending.pop()
        if isinstance(item, ssl.SSLCertVerificationError):
            return item
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            pending += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return None


def explain_certificate(error: ssl.SSLCertVerificationError, url: str, switch: str) -> str:
    """One line for a certificate that was refused: what is wrong with it and what to do.

    Args:
        switch: name of the parameter that waives the dates; empty: there is none.
    """
    host = urlsplit(url).netloc
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        what = "has expired" if error.verify_code == EXPIRED else "is not valid yet"
        advice = "check this machine's clock"
        if switch:
            advice += (
                f"; to accept the certificate in spite of its date, set {switch}: true in params.yaml "
                "(chain and host name stay verified)"
            )
        return f"the TLS certificate of {host} {what}, so nothing was downloaded; {advice}"
    reason = error.verify_message.rstrip(".")
    if error.verify_code == HOSTNAME_MISMATCH:
        return f"the TLS certificate is not for {host} ({reason}); check the URL: no switch accepts this"
    return (
        f"the TLS certificate of {host} is not trusted ({reason}); behind a company proxy set "
        "REQUESTS_CA_BUNDLE to its CA file: no switch accepts this"
    )
