"""KoNViD-1k from a server, from archives and from an unpacked copy: one corpus, the same bytes."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import ffmpeg
import pytest
from faulty_server import Fault, Site, authority, expired, serving
from ruamel.yaml import YAML

from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.files import sha256_bytes, sha256_file
from vmaf_train.konvid import (
    CITATION,
    VIDEOS,
    clip_folder,
    data_root,
    fetch_konvid,
    find_table,
    named_by_key,
)
from vmaf_train.layout import Layout
from vmaf_train.manifest import manifest
from vmaf_train.mos import Score, find_clips, find_score_table, join, read_scores
from vmaf_train.params import Params
from vmaf_train.split import split_of

Make = Callable[..., Params]
IDS = ("3339962845", "10053703034", "2999049224", "12893008605")
TABLE = "flickr_id,mos\n" + "".join(f"{name},{2 + index / 4}\n" for index, name in enumerate(IDS))
QUICK: dict[str, Any] = {"attempts": 2, "backoff": 0.001, "connect_timeout": 2, "read_timeout": 2}


@pytest.fixture(scope="session")
def clip() -> bytes:
    """One tiny real clip."""
    source = ffmpeg.input("testsrc=size=64x36:rate=8:duration=0.5", f="lavfi")
    out = ffmpeg.output(
        source, "pipe:", vcodec="libx264", f="mp4", movflags="frag_keyframe", pix_fmt="yuv420p"
    )
    return run_ffmpeg(out, what="making a clip")


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


@pytest.fixture(scope="session")
def site_files(clip: bytes) -> dict[str, bytes]:
    """The two archives as published: a folder of clips, a folder of tables."""
    videos = {f"KoNViD_1k_videos/{name}.mp4": clip + name.encode() for name in IDS}
    tables = {
        "KoNViD_1k_metadata/KoNViD_1k_mos.csv": TABLE.encode(),
        "KoNViD_1k_metadata/KoNViD_1k_attributes.csv": b"flickr_id,blur\n3339962845,0.1\n",
        "__MACOSX/KoNViD_1k_metadata/._KoNViD_1k_mos.csv": b"\0\5",
    }
    return {
        "/KoNViD_1k_videos.zip": zipped(videos | {"__MACOSX/KoNViD_1k_videos/._3339962845.mp4": b"\0"}),
        "/KoNViD_1k_metadata.zip": zipped(tables),
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root of one's own."""
    monkeypatch.setenv("VMAF_DATA_ROOT", str(tmp_path / "datasets"))
    return tmp_path / "datasets" / "konvid-1k"


def changes(base: str, **more: Any) -> dict[str, Any]:
    return {
        "corpus__name": "konvid-1k",
        "corpus__konvid_1k__url": {name: f"{base}/KoNViD_1k_{name}.zip" for name in ("videos", "metadata")},
        "corpus__konvid_1k__min_bytes": {"videos": 2000, "metadata": 200},
    } | {f"corpus__konvid_1k__{key}": value for key, value in more.items()}


def tree(folder: Path) -> dict[str, str]:
    """Every file below `folder`, hidden ones too, with its SHA-256."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def put(root: Path, files: dict[str, bytes], *, unpacked: bool = False) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if unpacked:
            zipfile.ZipFile(io.BytesIO(data)).extractall(root)
        else:
            (root / name.lstrip("/")).write_bytes(data)


def test_both_archives_come_from_the_server_and_a_second_clone_downloads_nothing(
    tmp_path: Path,
    root: Path,
    site_files: dict[str, bytes],
    make_params: Make,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ca, pem = authority(tmp_path)
    first, second = Layout(tmp_path / "one"), Layout(tmp_path / "two")
    with serving(Site(files=site_files), ca.issue_cert("localhost")) as site:
        params = make_params(**changes(site.base))
        joined = fetch_konvid(params, first, ca_file=pem, **QUICK)
        assert len(site.asked) == 2
        fetch_konvid(params, second, ca_file=pem, **QUICK)
        assert len(site.asked) == 2
    assert (len(joined.rows), joined.clips_without_score, joined.scores_without_clip) == (4, [], [])
    assert tree(first.corpus) == tree(second.corpus)
    clips = [f"KoNViD_1k_videos/{name}.mp4" for name in IDS]
    assert sorted(tree(first.corpus)) == sorted([*clips, "provenance.json", "scores.csv"])
    printed = capsys.readouterr().out
    provenance = json.loads(first.provenance.read_text())
    for half in ("videos", "metadata"):
        sha256 = sha256_bytes(site_files[f"/KoNViD_1k_{half}.zip"])
        assert f"KoNViD_1k_{half}.zip has SHA-256 {sha256}" in printed
        assert provenance["sources"][half]["sha256"] == sha256
    assert provenance["corpus"] == "konvid-1k"
    assert provenance["label_kind"] == "human-mos"
    assert provenance["scores"] == "scores.csv"
    assert provenance["sources"]["metadata"]["table"] == "KoNViD_1k_mos.csv"
    assert provenance["citation"] == CITATION
    assert str(tmp_path) not in first.provenance.read_text()


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_copy_on_this_machine_is_used_and_left_as_it_was(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make, unpacked: bool
) -> None:
    put(root, site_files, unpacked=unpacked)
    before = tree(root)
    layout = Layout(tmp_path / "clone")
    # nothing listens on port 1: a download would fail
    params = make_params(**changes("http://localhost:1"))
    assert len(fetch_konvid(params, layout, **QUICK).rows) == 4
    assert len(fetch_konvid(params, layout, **QUICK).rows) == 4
    assert tree(root) == before
    assert [path.name for path in layout.corpus.parent.iterdir()] == ["corpus"]
    sources = json.loads(layout.provenance.read_text())["sources"]
    assert (sources["videos"]["sha256"] is None) == unpacked


def test_clips_and_table_that_lie_loose_in_the_data_root_are_used(
    tmp_path: Path, root: Path, clip: bytes, make_params: Make
) -> None:
    put(root, {f"/{digits}.mp4": clip for digits in IDS} | {"/KoNViD_1k_mos.csv": TABLE.encode()})
    layout = Layout(tmp_path / "clone")
    joined = fetch_konvid(make_params(**changes("http://localhost:1")), layout, **QUICK)
    assert [row.key for row in joined.rows] == sorted(f"KoNViD_1k_videos_{digits}" for digits in IDS)


def test_a_half_that_is_missing_is_downloaded_beside_the_other(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make
) -> None:
    put(root, {"/KoNViD_1k_videos.zip": site_files["/KoNViD_1k_videos.zip"]}, unpacked=True)
    with serving(Site(files=site_files)) as site:
        fetch_konvid(make_params(**changes(site.base)), Layout(tmp_path / "clone"), **QUICK)
        assert [path for path, _, _ in site.asked] == ["/KoNViD_1k_metadata.zip"]
    assert (root / "KoNViD_1k_metadata.zip").is_file()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KoNViD_1k_mos.csv", TABLE),
        ("KoNViD_1k_attributes.csv", TABLE.replace("flickr_id,mos", "flickr_id,MOS")),
        ("KoNViD_1k_attributes.csv", TABLE.replace("flickr_id,mos", "file_name,MOS")),
        ("metadata.csv", TABLE.replace(",", ";")),
    ],
)
@pytest.mark.parametrize("suffix", ["", "_centered_960x540_8s"])
def test_every_shape_of_release_gives_the_same_scenes_and_scores(
    tmp_path: Path, root: Path, clip: bytes, make_params: Make, name: str, text: str, suffix: str
) -> None:
    videos = {f"a/KoNViD_1k_videos/{digits}{suffix}.mp4": clip for digits in IDS}
    put(
        root,
        {"/KoNViD_1k_videos.zip": zipped(videos), "/KoNViD_1k_metadata.zip": zipped({name: text.encode()})},
    )
    layout = Layout(tmp_path / "clone")
    joined = fetch_konvid(make_params(**changes("http://localhost:1")), layout)
    scores = {row.scene: row.mos for row in joined.rows}
    assert scores == {f"KoNViD_1k_videos_{digits}": 2 + index / 4 for index, digits in enumerate(IDS)}
    assert join(find_clips(layout.corpus), read_scores(find_score_table(layout.corpus))) == joined


FULL = "_original_centercrop_960x540_8s"


@pytest.mark.parametrize("clip_suffix", ["", FULL])
@pytest.mark.parametrize(
    ("column", "suffix"), [("flickr_id", ""), ("file_name", ".mp4"), ("file_name", f"{FULL}.mp4")]
)
def test_the_split_is_one_and_the_same_for_every_form_of_file_name(
    tmp_path: Path, root: Path, make_params: Make, column: str, suffix: str, clip_suffix: str
) -> None:
    ids = [str(2_000_000_000 + 7_654_321 * number) for number in range(1200)]
    rows = "".join(f"{digits}{suffix},{1 + number % 5}\n" for number, digits in enumerate(ids))
    files = {f"/KoNViD_1k_videos/{digits}{clip_suffix}.mp4": b"clip" for digits in ids}
    (root / VIDEOS).mkdir(parents=True)
    put(root, files | {"/KoNViD_1k_mos.csv": f"{column},mos\n{rows}".encode()})
    params = make_params(**changes("http://localhost:1"))
    joined = fetch_konvid(params, Layout(tmp_path / "clone"))
    assert (len(joined.rows), joined.clips_without_score, joined.scores_without_clip) == (1200, [], [])
    # counted with hashlib alone over the keys KoNViD_1k_videos_<id>
    counts = {"train": 947, "val": 114, "test": 139}
    assert Counter(split_of(row.scene, params.split) for row in joined.rows) == counts


def test_orphans_of_both_sides_keep_their_names(
    tmp_path: Path, root: Path, clip: bytes, make_params: Make
) -> None:
    names = ("11.mp4", f"12{FULL}.mp4", "110.mp4")
    put(root, {f"/{name}": clip for name in names})
    put(root, {"/KoNViD_1k_mos.csv": f"file_name,mos\n11{FULL}.mp4,2\n13{FULL}.mp4,3\nx.mp4,4\n".encode()})
    layout = Layout(tmp_path / "clone")
    joined = fetch_konvid(make_params(**changes("http://localhost:1")), layout)
    assert [row.key for row in joined.rows] == [f"{VIDEOS}_11"]
    assert joined.clips_without_score == [f"{VIDEOS}/110.mp4", f"{VIDEOS}/12{FULL}.mp4"]
    assert joined.scores_without_clip == [f"13{FULL}.mp4", "x.mp4"]
    with pytest.raises(
        UserError, match=rf"4 left out.*/110\.mp4: .*/12{FULL}\.mp4: .*13{FULL}.*x\.mp4: score"
    ):
        manifest(make_params(), layout)


@pytest.mark.parametrize(
    ("clips", "scores", "message"),
    [
        (["7_x.mp4", "7.mp4"], ["7"], r"clips 7_x\.mp4 and 7\.mp4 have one flickr id, 7;"),
        (["7.mp4"], ["7.mp4", "7_x.mp4"], r"scores '7\.mp4' and '7_x\.mp4' have one flickr id, 7;"),
    ],
)
def test_one_flickr_id_twice_is_refused(clips: list[str], scores: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        named_by_key(map(PurePosixPath, clips), [Score(name, 3.0) for name in scores])


def test_the_sha256_of_the_parameters_is_compared(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make
) -> None:
    put(root, site_files)
    layout = Layout(tmp_path / "clone")
    right = sha256_bytes(site_files["/KoNViD_1k_videos.zip"])
    base = "http://localhost:1"
    fetch_konvid(make_params(**changes(base, sha256={"videos": right.upper(), "metadata": ""})), layout)
    before = tree(layout.corpus)
    for half in ("videos", "metadata"):
        pair = {"videos": "", "metadata": ""} | {half: "0" * 64}
        with pytest.raises(UserError, match=rf"{half}\.zip has SHA-256 .*sha256\.{half} is 0000"):
            fetch_konvid(make_params(**changes(base, sha256=pair)), layout)
    assert tree(layout.corpus) == before
    shutil.rmtree(root)
    put(root, site_files, unpacked=True)
    with pytest.raises(UserError, match="is unpacked and has none"):
        fetch_konvid(make_params(**changes(base, sha256={"videos": right, "metadata": ""})), layout)


def test_the_floor_applies_to_downloads_and_names_the_parameter_file(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make
) -> None:
    with serving(Site(files=site_files)) as site:
        params = make_params(**changes(site.base, min_bytes={"videos": 2000, "metadata": 1_000_000}))
        with pytest.raises(UserError, match=r"expected at least 1,000,000: .*params\.yaml"):
            fetch_konvid(params, Layout(tmp_path / "clone"), **QUICK)
    assert tree(root) == {}


def test_an_archive_cut_by_a_server_that_understates_its_length_is_not_kept(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make
) -> None:
    with serving(Site(files=site_files)) as site:
        site.faults = [Fault("length", at=-5)]
        with pytest.raises(UserError, match=r"KoNViD_1k_metadata\.zip is not a whole zip archive"):
            fetch_konvid(make_params(**changes(site.base)), Layout(tmp_path / "clone"), **QUICK)
        assert tree(root) == {}
        fetch_konvid(make_params(**changes(site.base)), Layout(tmp_path / "clone"), **QUICK)


def test_a_damaged_archive_and_one_above_the_limit_leave_the_earlier_corpus(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make
) -> None:
    put(root, site_files)
    layout = Layout(tmp_path / "clone")
    base = "http://localhost:1"
    fetch_konvid(make_params(**changes(base)), layout)
    before = tree(layout.corpus.parent)
    with pytest.raises(UserError, match=r"KoNViD_1k_metadata\.zip is refused: its members say"):
        fetch_konvid(make_params(**changes(base, max_unpacked_bytes=10)), layout)
    archive = root / "KoNViD_1k_videos.zip"
    data = bytearray(archive.read_bytes())
    data[200] ^= 255
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"KoNViD_1k_videos\.zip, member .* is damaged"):
        fetch_konvid(make_params(**changes(base)), layout)
    assert tree(layout.corpus.parent) == before


def test_archives_with_other_content_are_named(tmp_path: Path) -> None:
    for names, message in (
        (["a/notes.txt"], "no clip named by digits"),
        (["a/1.mp4", "b/2.mp4"], "clips in .*a and in .*b"),
    ):
        folder = tmp_path / message[:5]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        with pytest.raises(UserError, match=message):
            clip_folder(folder)
    with pytest.raises(UserError, match="found no CSV"):
        find_table(tmp_path)
    for name in ("x.csv", "y.csv"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"found x\.csv, y\.csv"):
        find_table(tmp_path)


def test_scores_of_other_clips_are_refused(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make
) -> None:
    put(
        root, site_files | {"/KoNViD_1k_metadata.zip": zipped({"KoNViD_1k_mos.csv": b"flickr_id,mos\n1,2\n"})}
    )
    layout = Layout(tmp_path / "clone")
    with pytest.raises(UserError, match=r"no clip of .* has a score in KoNViD_1k_mos\.csv"):
        fetch_konvid(make_params(**changes("http://localhost:1")), layout)
    assert not layout.corpus.exists()


def test_the_data_root_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VMAF_DATA_ROOT", raising=False)
    assert data_root() == Path.home() / "datasets" / "konvid-1k"


class Repository:
    """A folder with a params.yaml in which the real command is run."""

    def __init__(self, folder: Path, raw: dict[str, Any], **environment: str) -> None:
        self.folder = folder
        self.environment = os.environ | environment
        folder.mkdir(parents=True)
        with open(folder / "params.yaml", "w") as out:
            YAML(typ="safe", pure=True).dump(raw, out)

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "vmaf_train.cli", "fetch"]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self) -> tuple[int, str]:
        with self.start() as process:
            _, errors = process.communicate(timeout=60)
        return process.returncode, errors


def test_the_command_names_the_switch_of_an_expired_certificate_and_obeys_it(
    tmp_path: Path, site_files: dict[str, bytes], raw_params: Callable[..., dict[str, Any]]
) -> None:
    ca, pem = authority(tmp_path)
    environment = {"VMAF_DATA_ROOT": str(tmp_path / "datasets"), "REQUESTS_CA_BUNDLE": str(pem)}
    with serving(Site(files=site_files), expired(ca)) as site:
        strict = Repository(tmp_path / "a", raw_params(**changes(site.base)), **environment)
        status, errors = strict.run()
        assert status == 1
        assert "set corpus.konvid_1k.allow_expired_certificate: true" in errors
        assert "Traceback" not in errors
        waived = changes(site.base, allow_expired_certificate=True)
        status, errors = Repository(tmp_path / "b", raw_params(**waived), **environment).run()
        assert (status, "Traceback" in errors) == (0, False)
    assert (tmp_path / "b" / "data" / "corpus" / "provenance.json").is_file()


def test_a_fetch_killed_at_random_and_run_again_gives_the_same_corpus(
    tmp_path: Path, raw_params: Callable[..., dict[str, Any]]
) -> None:
    chance = random.Random()
    videos = {f"KoNViD_1k_videos/{digits}.mp4": chance.randbytes(1_500_000) for digits in IDS}
    files = {
        "/KoNViD_1k_videos.zip": zipped(videos),
        "/KoNViD_1k_metadata.zip": zipped({"KoNViD_1k_mos.csv": TABLE.encode()}),
    }
    with serving(Site(files=files, pause=0.004)) as site:
        raw = raw_params(**changes(site.base))
        calm = Repository(tmp_path / "calm", raw, VMAF_DATA_ROOT=str(tmp_path / "one"))
        began = time.monotonic()
        assert calm.run()[0] == 0
        usual = time.monotonic() - began
        shaken = Repository(tmp_path / "shaken", raw, VMAF_DATA_ROOT=str(tmp_path / "two"))
        process = shaken.start()
        time.sleep(usual * chance.uniform(0.3, 0.95))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        status, errors = shaken.run()
        assert status == 0, errors
    assert tree(tmp_path / "shaken" / "data") == tree(tmp_path / "calm" / "data")
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


@pytest.mark.parametrize("half", ["videos", "metadata"])
def test_the_floor_of_each_archive_is_its_own(
    tmp_path: Path, root: Path, site_files: dict[str, bytes], make_params: Make, half: str
) -> None:
    with serving(Site(files=site_files)) as site:
        floors = {"videos": 2000, "metadata": 200} | {half: 1_000_000}
        with pytest.raises(UserError, match=rf"KoNViD_1k_{half}\.zip has .*expected at least 1,000,000"):
            fetch_konvid(make_params(**changes(site.base, min_bytes=floors)), Layout(tmp_path / "x"), **QUICK)
