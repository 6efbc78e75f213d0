"""A real HTTP(S) server in a thread that serves bytes and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import hashlib
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

PAST = (datetime(2019, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Fault:
    """What to do wrong with one request; `at` counts bytes of the body that are still sent."""

    kind: str
    at: int = 0
    value: str = ""


@dataclass
class Site:
    """What is served, the faults still to come (one a request) and what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    lengths: bool = True
    etags: bool = True
    pause: float = 0.0
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    base: str = ""

    def url(self, path: str) -> str:
        return self.base + path


class Handler(BaseHTTPRequestHandler):
    """Serves `site`; HTTP/1.0, so that a connection ends with its answer."""

    site: Site
    timeout = 30

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        site = self.site
        fault = site.faults.pop(0) if site.faults else Fault("none")
        if fault.kind == "changed":
            site.files[self.path] = fault.value.encode()
        body = site.files.get(self.path)
        asked = self.headers.get("Range", "")
        if fault.kind == "status" or body is None:
            self.answer(int(fault.value or 404), asked, b"sorry")
        elif fault.kind == "redirect":
            self.answer(302, asked, b"", Location=fault.value)
        else:
            self.send(body, asked, fault)

    def send(self, body: bytes, asked: str, fault: Fault) -> None:
        site = self.site
        headers = {}
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if site.etags:
            headers["ETag"] = etag
        match = re.fullmatch(r"bytes=([0-9]+)-", asked)
        current = self.headers.get("If-Range", etag) == etag
        status, start, total = 200, 0, len(body)
        if site.ranges and match and current:
            status, start = 206, int(match[1])
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        if fault.kind == "lie" and status == 206:
            headers["Content-Range"] = fault.value
        if fault.kind == "ask-beyond":
            self.answer(416, asked, b"", **{"Content-Range": f"bytes */{total}"})
            return
        if fault.kind == "packed":
            headers["Content-Encoding"] = "gzip"
        rest = body[start:]
        if site.lengths:
            headers["Content-Length"] = str(len(rest) + (fault.at if fault.kind == "length" else 0))
        if fault.kind in ("cut", "stall"):
            rest = rest[: fault.at]
        self.answer(status, asked, rest, **headers)
        if fault.kind == "stall":
            self.wfile.flush()
            site.closing.wait(20)

    def answer(self, status: int, asked: str, body: bytes, **headers: str) -> None:
        self.site.asked.append((self.path, asked, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(body), 1 << 16):
            if self.site.pause:
                self.site.closing.wait(self.site.pause)
            self.wfile.write(body[start : start + (1 << 16)])


class Server(ThreadingHTTPServer):
    """Quiet when a client hangs up, and when it refuses the certificate."""

    daemon_threads = True
    block_on_close = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class SecureServer(Server):
    """Each connection speaks TLS; the handshake is done in the connection's own thread."""

    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)


@contextlib.contextmanager
def serving(site: Site, certificate: trustme.LeafCert | None = None) -> Iterator[Site]:
    """Serve `site` on a free port of localhost, by HTTPS where a certificate is given."""
    handler = type("SiteHandler", (Handler,), {"site": site})
    server: Server
    if certificate:
        server = SecureServer(("127.0.0.1", 0), handler)
        server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(server.context)
    else:
        server = Server(("127.0.0.1", 0), handler)
    site.base = f"{'https' if certificate else 'http'}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def authority(folder: Path) -> tuple[trustme.CA, Path]:
    """A certificate authority of one's own and its PEM file."""
    ca = trustme.CA()
    pem = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(pem))
    return ca, pem


def expired(ca: trustme.CA, host: str = "localhost") -> trustme.LeafCert:
    """A certificate that was valid in 2019."""
    return ca.issue_cert(host, not_before=PAST[0], not_after=PAST[1])
