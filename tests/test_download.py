"""Downloads against a real server that cuts, stalls, lies and refuses."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_server import Fault, Handler, Site, serving

from vmaf_train.download import Rules, download
from vmaf_train.errors import UserError
from vmaf_train.part import open_part

BODY = random.Random(7).randbytes(300_001)
QUICK = Rules(attempts=3, backoff=0.001, longest_wait=0.01, connect_timeout=2, read_timeout=0.3)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site(files={"/a.zip": BODY})) as site:
        yield site


def fetch(site: Site, folder: Path, rules: Rules = QUICK) -> Path:
    target = folder / "a.zip"
    download(site.url("/a.zip"), target, rules)
    assert [path.name for path in folder.iterdir()] == ["a.zip"]
    return target


def refusal(site: Site, folder: Path, rules: Rules = QUICK, path: str = "/a.zip") -> str:
    with pytest.raises(UserError) as error:
        download(site.url(path) if path.startswith("/") else path, folder / "a.zip", rules)
    assert not (folder / "a.zip").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_twenty_cuts_at_random_bytes_still_give_the_right_bytes(site: Site, tmp_path: Path) -> None:
    chance = random.Random(3)
    site.faults = [Fault("cut", at=chance.randrange(1, 14_000)) for _ in range(20)]
    target = fetch(site, tmp_path)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(BODY).digest()
    assert [status for _, _, status in site.asked] == [200] + [206] * 20


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("status", value="500"), "the server answers 500 Internal Server Error"),
        (Fault("status", value="503"), "the server answers 503"),
        (Fault("status", value="429"), "the server answers 429"),
        (Fault("stall", at=1000), "no byte came for 0.3 s; 1,000 bytes kept"),
        (Fault("cut", at=0), "the connection was cut"),
        (Fault("cut", at=70_000), "the connection was cut; 70,000 bytes kept"),
        (Fault("length", at=5), "the connection was cut; 300,001 bytes kept"),
    ],
)
def test_what_another_try_can_mend_is_said_and_mended(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: Fault, says: str
) -> None:
    site.faults = [fault]
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert says in capfd.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("told", "etag"),
    [
        ("bytes 0-300000/300001", True),
        ("bytes 1001-300000/300001", True),
        ("bytes 1000-300000/300002", True),
        ("bytes 1000-400000/300001", True),
        ("bytes 1000-300000/*", True),
        ("nonsense", True),
        ("bytes 0-300000/300001", False),
    ],
)
def test_a_lying_content_range_is_told_and_never_joined(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str], told: str, etag: bool
) -> None:
    site.etags = etag
    site.faults = [Fault("cut", at=1000), Fault("lie", value=told)]
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert f"with Content-Range '{told}': starting over" in capfd.readouterr().err.replace("\n", " ")


def test_a_range_beyond_the_end_starts_over(site: Site, tmp_path: Path) -> None:
    site.faults = [Fault("cut", at=1000), Fault("ask-beyond")]
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_a_server_without_range_is_told_and_starts_over(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site.ranges = False
    site.faults = [Fault("cut", at=1000)]
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert "the server does not support Range: starting over, 1,000 bytes" in capfd.readouterr().err


def test_a_server_without_lengths_starts_over_after_a_failure(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site.lengths = False
    site.faults = [Fault("stall", at=1000)]
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert "the server gives no length" in capfd.readouterr().err


def test_a_file_that_changed_meanwhile_is_fetched_anew(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site.faults = [Fault("cut", at=1000), Fault("changed", value="new" * 1000)]
    assert fetch(site, tmp_path).read_bytes() == b"new" * 1000
    assert "the file on the server has changed: starting over" in capfd.readouterr().err


def test_tries_end_and_the_next_run_goes_on_from_the_kept_bytes(site: Site, tmp_path: Path) -> None:
    site.faults = [Fault("cut", at=1000), *[Fault("status", value="500")] * 3]
    text = refusal(site, tmp_path)
    assert "the server answers 500 Internal Server Error, 3 times in a row without a new byte" in text
    assert f"1,000 bytes are kept in {tmp_path / 'a.zip.part'}: run again" in text
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert site.asked[-1] == ("/a.zip", "bytes=1000-", 206)


def test_tries_that_brought_nothing_leave_nothing(site: Site, tmp_path: Path) -> None:
    site.faults = [Fault("status", value="500")] * 3
    assert refusal(site, tmp_path).endswith("3 times in a row without a new byte; run again later")
    assert list(tmp_path.iterdir()) == []


def test_starting_over_again_and_again_ends(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.faults = [Fault("cut", at=1000)] * 9
    assert "3 times in a row without a new byte" in refusal(site, tmp_path)
    assert len(site.asked) == 4


@pytest.mark.parametrize("status", ["400", "403", "404", "410"])
def test_a_refusal_is_final_at_once(site: Site, tmp_path: Path, status: str) -> None:
    site.faults = [Fault("status", value=status)]
    text = refusal(site, tmp_path)
    assert f"the server answers {status}" in text
    assert "check the URL in params.yaml" in text
    assert len(site.asked) == 1


def test_a_redirect_loop_is_named(site: Site, tmp_path: Path) -> None:
    there = [Fault("redirect", value=site.url("/b")), Fault("redirect", value=site.url("/a.zip"))]
    site.files["/b"] = b""
    site.faults = there * 10
    text = refusal(site, tmp_path)
    loop = f"{site.url('/a.zip')} -> {site.url('/b')} -> {site.url('/a.zip')} -> ..."
    assert f"redirects in a loop ({loop})" in text


def test_a_file_below_the_floor_names_size_and_floor(site: Site, tmp_path: Path) -> None:
    for site.lengths in (True, False):
        text = refusal(site, tmp_path, replace(QUICK, min_bytes=2_000_000_000))
        assert "has 300,001 bytes, expected at least 2,000,000,000" in text


def test_a_packed_answer_and_a_malformed_url_are_refused(site: Site, tmp_path: Path) -> None:
    site.faults = [Fault("packed")]
    assert "packs the file (gzip) unasked" in refusal(site, tmp_path)
    for url in ("no-url", "ftp://localhost/a", "https://"):
        assert "is not a URL" in refusal(site, tmp_path, path=url)


def test_a_server_that_is_not_there_is_tried_and_named(tmp_path: Path) -> None:
    with serving(Site()) as gone:
        pass
    assert "no connection" in refusal(gone, tmp_path)


def test_a_full_disk_is_one_line(site: Site, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    with contextlib.ExitStack() as undo:
        # a limit on the size of files fails writes as a full disk does
        undo.callback(resource.setrlimit, resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE))
        undo.callback(signal.signal, signal.SIGXFSZ, signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        text = refusal(site, tmp_path)
    assert "cannot write" in text
    assert "File too large" in text
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_a_server_that_stalls_is_given_up_after_the_read_timeout(site: Site, tmp_path: Path) -> None:
    site.faults, begin = [Fault("stall", at=1000)], time.monotonic()
    assert fetch(site, tmp_path, replace(QUICK, connect_timeout=15)).read_bytes() == BODY
    assert time.monotonic() - begin < 10


def test_a_declared_length_below_the_floor_is_refused_before_the_file_comes(
    site: Site, tmp_path: Path
) -> None:
    site.faults = [Fault("stall", at=0)]
    text = refusal(site, tmp_path, replace(QUICK, min_bytes=2_000_000_000))
    assert "has 300,001 bytes, expected at least 2,000,000,000" in text
    assert len(site.asked) == 1


@pytest.mark.parametrize("lengths", [True, False])
def test_a_file_below_the_floor_leaves_nothing_behind(site: Site, tmp_path: Path, lengths: bool) -> None:
    site.lengths = lengths
    refusal(site, tmp_path, replace(QUICK, min_bytes=2_000_000_000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", ["408", "425", "429", "502", "504"])
def test_statuses_that_ask_to_come_back_later_are_tried_again(
    site: Site, tmp_path: Path, status: str
) -> None:
    site.faults = [Fault("status", value=status)]
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_a_file_that_was_whole_before_it_got_its_name_is_not_fetched_again(
    site: Site, tmp_path: Path
) -> None:
    with open_part(site.url("/a.zip"), tmp_path / "a.zip") as part:
        part.start_over(etag="", modified="", total=len(BODY))
        part.handle.write(BODY)
    assert fetch(site, tmp_path).read_bytes() == BODY
    assert site.asked == []


def test_a_rest_of_another_file_is_never_joined_where_a_server_ignores_if_range(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Handler.do_GET

    def careless(handler: Handler) -> None:
        del handler.headers["If-Range"]
        plain(handler)

    monkeypatch.setattr(Handler, "do_GET", careless)
    site.faults = [Fault("cut", at=1000), Fault("changed", value="n" * len(BODY))]
    assert fetch(site, tmp_path).read_bytes() == b"n" * len(BODY)


def test_a_server_that_packs_for_whoever_takes_it_sends_the_file_as_it_is(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Handler.do_GET

    def pack(handler: Handler) -> None:
        if "gzip" in handler.headers.get("Accept-Encoding", ""):
            handler.site.faults.insert(0, Fault("packed"))
        plain(handler)

    monkeypatch.setattr(Handler, "do_GET", pack)
    assert fetch(site, tmp_path).read_bytes() == BODY


def test_waits_grow_to_the_longest_one_and_no_further(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.faults, waited = [Fault("status", value="500")] * 4, []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    rules = replace(QUICK, attempts=9, backoff=1.0, longest_wait=2.0)
    assert fetch(site, tmp_path, rules).read_bytes() == BODY
    assert waited == [1, 2, 2, 2]
