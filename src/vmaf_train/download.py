"""HTTP(S) download of one large file: resumed, retried, checked, never half there.

A run that was cut or killed goes on where it stopped (`part`). Ranges follow RFC 9110, section 14.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vmaf_train.errors import UserError
from vmaf_train.part import Part, open_part
from vmaf_train.tls import ca_bundle, explain_certificate, session_for, verification_error

if TYPE_CHECKING:
    import requests
    from rich.progress import Progress, TaskID

CHUNK = 1 << 18
CONTENT_RANGE = re.compile(r"bytes (?:([0-9]+)-([0-9]+)|\*)/([0-9]+|\*)")
LATER = frozenset((408, 425, 429))  # statuses below 500 that ask to come back later


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a download accepts and how long it tries.

    `attempts` counts tries in a row without a single new byte; waits between them double from `backoff`
    to `longest_wait` seconds. `dates_switch` names the parameter behind `ignore_dates`, for the errors.
    """

    min_bytes: int = 0
    ignore_dates: bool = False
    dates_switch: str = ""
    ca_file: str | Path | None = None
    connect_timeout: float = 20.0
    read_timeout: float = 60.0
    attempts: int = 8
    backoff: float = 1.0
    longest_wait: float = 60.0


class _AnotherTryError(Exception):
    """The try failed in a way that another one may mend; the text says how."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What every step of one download needs."""

    part: Part
    rules: Rules
    session: requests.Session
    bundle: str
    progress: Progress
    task: TaskID

    def say(self, text: str) -> None:
        self.progress.console.print(f"fetch: {text}", markup=False, highlight=False, soft_wrap=True)


def download(url: str, target: Path, rules: Rules) -> None:
    """Fetch `url` into `target`, which appears only when it is whole; go on with an earlier `.part`.

    Raises:
        UserError: the server refuses (4xx), redirects in a loop or to plain HTTP, has a certificate that
            is not valid, keeps failing, or the file is smaller than `rules.min_bytes`; or the disk is
            full. The `.part` file stays for the next run where it is of use.
    """
    with open_part(url, target) as part, _bar(target.name) as (progress, task):
        bundle = ca_bundle(rules.ca_file)
        with session_for(url, bundle=bundle, ignore_dates=rules.ignore_dates) as session:
            job = _Job(part=part, rules=rules, session=session, bundle=bundle, progress=progress, task=task)
            if rules.ignore_dates:
                job.say(f"the dates of the certificate of {url} are not checked, as params.yaml asks")
            _until_whole(job)
        size = part.size
        if size < rules.min_bytes:
            part.discard()
            raise _too_small(url, size, rules.min_bytes)
        part.finish()


def _until_whole(job: _Job) -> None:
    from tenacity import RetryCallState, Retrying, retry_if_exception_type

    part, rules = job.part, job.rules
    in_vain, best = 0, part.size

    def attempt() -> None:
        nonlocal in_vain, best
        try:
            _attempt(job)
        except _AnotherTryError:
            # a new byte is one beyond all earlier tries: starting over again and again must end
            in_vain = 0 if part.size > best else in_vain + 1
            best = max(best, part.size)
            raise

    def give_up(state: RetryCallState) -> bool:
        return in_vain >= rules.attempts

    def wait(state: RetryCallState) -> float:
        return float(min(rules.longest_wait, rules.backoff * 2 ** max(in_vain - 1, 0)))

    def announce(state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else ""
        job.say(f"{reason}; {part.size:,} bytes kept, next try in {wait(state):.0f} s")

    tries = Retrying(
        retry=retry_if_exception_type(_AnotherTryError),
        stop=give_up,
        wait=wait,
        before_sleep=announce,
        reraise=True,
    )
    try:
        tries(attempt)
    except _AnotherTryError as reason:
        kept = f"{part.size:,} bytes are kept in {part.data}: run again to go on from there"
        raise UserError(
            f"cannot download {part.url}: {reason}, {in_vain} times in a row without a new byte; "
            f"{kept if part.size else 'run again later'}"
        ) from None


def _attempt(job: _Job) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    part, rules = job.part, job.rules
    if part.size and part.total is None:
        job.say("the server gives no length, so the rest cannot be asked for: starting over")
        part.drop()
    offset = part.size
    if offset and offset == part.total:
        return
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if part.validator:
            headers["If-Range"] = part.validator
    timeout = (rules.connect_timeout, rules.read_timeout)
    try:
        with job.session.get(
            part.url, headers=headers, stream=True, timeout=timeout, verify=job.bundle
        ) as response:
            _refuse(response, part.url)
            offset = _agree(job, response, offset)
            job.progress.update(job.task, completed=offset, total=part.total)
            # read1 and not iter_content: that one drops the bytes of a chunk that did not fill
            while chunk := response.raw.read1(CHUNK):
                part.handle.write(chunk)
                job.progress.update(job.task, advance=len(chunk))
    except requests.TooManyRedirects as error:
        trail = [seen.url for seen in error.response.history] if error.response is not None else [part.url]
        names = " -> ".join([*trail[:3], "..."])
        raise UserError(f"{part.url} redirects in a loop ({names}); check the URL in params.yaml") from None
    except (requests.RequestException, HTTPError, ssl.SSLError) as error:
        refused = verification_error(error)
        if refused:
            asked = str(getattr(getattr(error, "request", None), "url", None) or part.url)
            # after a redirect another host may have refused, and the switch is not for that one
            same_host = urlsplit(asked).netloc == urlsplit(part.url).netloc
            switch = rules.dates_switch if same_host else ""
            raise UserError(explain_certificate(refused, asked, switch)) from None
        if isinstance(error, ValueError):  # requests' errors of a malformed URL are also ValueErrors
            raise UserError(f"{part.url!r} is not a URL ({error}); correct it in params.yaml") from None
        raise _AnotherTryError(_in_words(error, rules)) from None
    finally:
        part.handle.flush()
    if part.total is not None and part.size != part.total:
        raise _AnotherTryError(
            f"the server sent {part.size:,} of {part.total:,} bytes and closed the connection"
        )


def _refuse(response: requests.Response, url: str) -> None:
    """Raise for every answer that holds no part of the file."""
    status, told = response.status_code, f"{response.status_code} {response.reason}"
    # on the way back to HTTPS, whoever controls the plain hop has chosen where it leads
    for seen in (*response.history, response):
        if url.startswith("https:") and not seen.url.startswith("https:"):
            raise UserError(f"{url} redirects to {seen.url}, which is not encrypted; use another URL")
    if status >= 500 or status in LATER:
        raise _AnotherTryError(f"the server answers {told}")
    if status not in (200, 206, 416):
        raise UserError(f"{response.url}: the server answers {told}; check the URL in params.yaml")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise UserError(f"{url}: the server packs the file ({encoding}) unasked; use another URL")


def _agree(job: _Job, response: requests.Response, offset: int) -> int:
    """Compare the answer with what is on disk; return where its first byte belongs."""
    part, rules = job.part, job.rules
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        if total is not None and total < rules.min_bytes:
            raise _too_small(part.url, total, rules.min_bytes)
        if offset:
            same = (total, response.headers.get("ETag", "")) == (part.total, part.etag)
            why = "the server does not support Range" if same else "the file on the server has changed"
            job.say(f"{why}: starting over, {offset:,} bytes are fetched again")
        modified = response.headers.get("Last-Modified", "")
        part.start_over(etag=response.headers.get("ETag", ""), modified=modified, total=total)
        return 0
    told = response.headers.get("Content-Range", "")
    match = CONTENT_RANGE.fullmatch(told.strip())
    start, end, total_text = match.groups() if match else (None, None, None)
    expected = (str(offset), str(part.total))
    etag = response.headers.get("ETag", part.etag)
    last = int(end) if end else -1
    honest = (start, total_text) == expected and part.total is not None and offset <= last < part.total
    if response.status_code == 416 or not offset or not honest or etag != part.etag:
        part.drop()
        raise _AnotherTryError(
            f"asked for bytes {offset}- of {part.total}, the server answers {response.status_code} with "
            f"Content-Range {told!r}: starting over"
        )
    return offset


def _in_words(error: Exception, rules: Rules) -> str:
    import requests
    from urllib3.exceptions import ProtocolError

    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {rules.connect_timeout:g} s"
    if "timed out" in str(error).lower():
        return f"no byte came for {rules.read_timeout:g} s"
    if isinstance(error, ProtocolError):
        return "the connection was cut"
    inner: object = error.args[0] if error.args else error
    reason = str(getattr(inner, "reason", inner)).splitlines() or [type(error).__name__]
    return f"no connection ({reason[0]})"


def _too_small(url: str, size: int, floor: int) -> UserError:
    return UserError(
        f"{url} has {size:,} bytes, expected at least {floor:,}: it is not the archive, perhaps a notice; "
        "open the URL in a browser, then correct it or the floor in params.yaml"
    )


@contextlib.contextmanager
def _bar(name: str) -> Iterator[tuple[Progress, TaskID]]:
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress, progress.add_task(name, total=None)
