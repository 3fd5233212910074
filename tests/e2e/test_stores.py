"""Pulls from stores in the cloud: real ones on this machine, and what can go wrong with them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import ModuleType

import pytest
from e2e.scripted import MANIFEST, SLUG, VERSION, ScriptedServer, manifest_of, noise
from e2e.stage import JPG, Machine, sha256sum, wait_until
from sources.fault_proxy import Fault, FaultProxy
from sources.stores import BUCKET, KEY, SECRET, MotoProxy, Store

BIG = "big.bin"
FILES = {
    BIG: noise("big", 5 << 18),
    "empty.txt": b"",
    "a b#?%+é&.bin": noise("odd", 3000),
    **{f"files/p10/p1000003{n}/s50414267/{n}.jpg": noise(f"image {n}", 9000 + n) for n in range(6)},
}
DENIED = b"<Error><Code>AccessDenied</Code></Error>"


def stocked(store: Store) -> Store:
    for path, data in {**FILES, MANIFEST: manifest_of(FILES)}.items():
        store.put(f"copies/{SLUG}/{VERSION}/{path}", data)
    return store


@pytest.fixture(scope="session")
def stocked_stores() -> dict[str, Store]:
    """Those that have the files, by their names."""
    return {}


class Place:
    """A machine that pulls from a store, through a relay."""

    def __init__(self, store: Store, proxy: FaultProxy, home: Path) -> None:
        self.store, self.proxy = store, proxy
        self.machine = Machine(home, home / "data", "https://127.0.0.1:1/files", home / "none.pem")
        self.machine.environment = {
            "CXRSYNC_CA_FILE": None, "PHYSIONET_USERNAME": None, "PHYSIONET_PASSWORD": None,
            "CXRSYNC_ENDPOINT_URL": proxy.url, **store.environment(home),
        }  # fmt: skip
        self.address = f"{store.scheme}://{BUCKET}/copies"

    @property
    def root(self) -> Path:
        return self.machine.dest / SLUG / VERSION

    @property
    def words(self) -> tuple[str, ...]:
        return ("--dataset", SLUG, "--dataset-version", VERSION, "--from", self.address)

    def is_whole(self) -> bool:
        return sha256sum(self.root, "--check", "--quiet", MANIFEST).returncode == 0


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    name = getattr(request, "param", "moto")
    known: dict[str, Store] = request.getfixturevalue("stocked_stores")
    store = known.get(name) or known.setdefault(name, stocked(request.getfixturevalue(name)))
    with FaultProxy(store.endpoint, own_host=store.scheme == "gs") as proxy:
        yield Place(store, proxy, tmp_path)


@pytest.mark.parametrize("place", ["moto", "rclone", "gcs"], indirect=True)
def test_a_pull_is_complete_and_verified(place: Place) -> None:
    words = ("pull", "--json", *place.words, "--requester-pays", "my-project")
    done = place.machine.run(*words)
    assert done.code == 0, done.err
    assert done.summary["files"]["fetched"] == len(FILES)
    assert place.is_whole()
    # A store's files have the time of the store, and that is said once.
    assert done.err.count("wget -N") == 1
    assert {headers.get("x-goog-user-project") for _path, headers in place.proxy.seen} == (
        {"my-project"} if place.store.scheme == "gs" else {None}
    )

    asked = len(place.proxy.seen)
    again = place.machine.pull(*place.words)
    assert (again.code, again.summary["files"]["fetched"]) == (0, 0)
    assert len(place.proxy.seen) - asked == 1  # for the manifest
    assert place.machine.run("verify", "--dataset", SLUG).code == 0
    (place.root / BIG).unlink()
    repaired = place.machine.run("verify", "--repair", *place.words)
    assert repaired.code == 0, repaired.err
    assert place.is_whole()


@pytest.mark.parametrize("place", ["moto", "gcs"], indirect=True)
def test_a_killed_pull_goes_on_where_it_was(place: Place) -> None:
    kept = 1 << 20
    place.proxy.plan = lambda path, _headers: (
        Fault(cut=kept, silent=True) if path.endswith(BIG) else None
    )
    words = (*place.words, "--connections", "2")
    partials = place.machine.dest / SLUG / VERSION / ".cxrsync" / "root" / "partial"

    def has_bytes() -> bool:
        return any(each.stat().st_size >= kept // 2 for each in partials.glob("*"))

    process = place.machine.start("pull", "--progress", "none", *words)
    wait_until(lambda: has_bytes() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    place.proxy.plan = lambda _path, _headers: None
    done = place.machine.pull(*words)
    assert done.code == 0, done.err
    assert done.summary["bytes"]["resumed"] >= kept // 2
    assert place.is_whole()


def test_slices_of_a_large_manifest(place: Place) -> None:
    folders = [f"files/p1{n // 3000 + 1}/p1{n // 3000 + 1}{n:06}/s5{n:07}" for n in range(16_000)]
    lines = [f"{'0' * 64} {each}/x.jpg\n" for each in folders]
    wanted = "files/p10/p10000001/s50000001/x.jpg"
    data = noise("wanted", 500)
    large = manifest_of({wanted: data, "LICENSE.txt": b"free"}) + "".join(lines).encode()
    ordered = sorted(large.splitlines(keepends=True), key=lambda line: line.split(b" ", 1)[1])
    version = f"{JPG}/2.1.0"
    place.store.put(f"large/{version}/{MANIFEST}", b"".join(ordered))
    place.store.put(f"large/{version}/{wanted}", data)
    words = ["--jpg", "--from", f"s3://{BUCKET}/large", "--subject", "p10000001", "--no-tables"]
    done = place.machine.pull(*words)
    assert done.code == 0, done.err
    assert (place.machine.dest / version / wanted).read_bytes() == data
    assert not (place.machine.dest / version / MANIFEST).exists()
    asked = [headers for path, headers in place.proxy.seen if path.endswith(MANIFEST)]
    assert all("range" in headers for headers in asked)


def signed_by(headers: Mapping[str, str]) -> str:
    return headers["authorization"].partition("Credential=")[2].partition("/")[0]


@pytest.mark.parametrize("place", ["rclone"], indirect=True)
def test_a_wrong_secret_is_sent_once(place: Place) -> None:
    place.machine.environment["AWS_SECRET_ACCESS_KEY"] = f"{SECRET}x"
    done = place.machine.pull(*place.words)
    assert done.code == 3
    assert "the secret does not belong to the access key" in done.err
    assert "from the environment" in done.err
    assert len(place.proxy.seen) == 1
    assert SECRET not in done.out + done.err
    assert KEY not in done.out + done.err
    assert not place.machine.dest.exists() or not list(place.machine.dest.rglob("*.jpg"))


def test_no_credentials(place: Place) -> None:
    place.machine.environment |= {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    done = place.machine.pull(*place.words)
    assert done.code == 3
    assert "no AWS credentials were found" in done.err
    assert place.proxy.seen == []
    done = place.machine.pull(*place.words, "--aws-profile", "typo")
    assert done.code == 2
    assert "--aws-profile: AWS's configuration has no profile of this name" in done.err


@pytest.mark.parametrize("place", ["moto", "gcs"], indirect=True)
def test_no_rights(place: Place) -> None:
    place.proxy.plan = lambda _path, _headers: Fault(403, {}, DENIED)
    done = place.machine.pull(*place.words)
    assert done.code == 4
    assert "refuses access to" in done.err
    assert len(place.proxy.seen) == 2  # the two places where the manifest may be


def test_access_says_what_is_missing(place: Place) -> None:
    place.machine.environment["CXRSYNC_DATASET"] = SLUG
    place.machine.environment["CXRSYNC_DATASET_VERSION"] = VERSION
    words = ("access", "--from", place.address)
    done = place.machine.run(*words)
    assert done.code == 0, done.out
    assert "✓ credentials" in done.out
    assert f"opens: {place.address}/{SLUG}/{VERSION}/" in done.out
    assert len(place.proxy.seen) == 1  # one byte of the manifest

    place.proxy.plan = lambda _path, _headers: Fault(403, {}, DENIED)
    done = place.machine.run(*words, "--json")
    assert done.code == 4
    found = json.loads(done.out)
    assert found["missing"] == f"{SLUG} {VERSION}"
    assert "Ask the bucket's owner" in found["checks"][-2]["next_step"]

    place.proxy.plan = lambda path, _headers: Fault(403, {}, DENIED) if "copies" in path else None
    place.store.put(f"other/{SLUG}/{VERSION}/{MANIFEST}", b"")
    done = place.machine.run(*words, "--from", f"s3://{BUCKET}/other", "--json")
    assert done.code == 4
    first, second = json.loads(done.out)["stores"]
    assert (first["host"], first["exit_code"]) == (place.address, 4)
    assert (second["host"], second["exit_code"]) == (f"s3://{BUCKET}/other", 0)
    done = place.machine.run(*words, "--from", f"s3://{BUCKET}/other")
    assert f"✗ {place.address}: {SLUG} {VERSION}" in done.out
    assert f"✓ s3://{BUCKET}/other: {SLUG} {VERSION}" in done.out
    assert done.out.count("✓ destination") == 1

    place.machine.environment |= {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    done = place.machine.run(*words)
    assert done.code == 3
    assert "Missing: credentials: no AWS credentials were found" in done.out
    assert place.machine.run("access", "--from", str(place.machine.home)).code == 2


def test_a_clock_that_is_wrong(place: Place) -> None:
    then = {"Date": "Thu, 26 Nov 2020 13:00:00 GMT"}
    body = b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
    place.proxy.plan = lambda _path, _headers: Fault(403, then, body)
    done = place.machine.pull(*place.words)
    assert done.code == 3
    assert "this machine's clock is" in done.err
    assert "ahead of the store's" in done.err


def test_no_such_bucket(place: Place) -> None:
    place.address = "s3://another-bucket/copies"
    done = place.machine.pull(*place.words)
    assert done.code == 2
    assert "no such bucket" in done.err
    assert "Check the bucket's name in --from" in done.err


def test_credentials_are_renewed_in_mid_run(place: Place) -> None:
    """They expire, and someone has put new ones on the disk."""
    file = place.machine.home / ".aws" / "credentials"
    file.parent.mkdir()

    def write(key: str) -> None:
        keys = f"aws_access_key_id={key}\naws_secret_access_key=x\naws_session_token=t-{key}\n"
        with NamedTemporaryFile("w", dir=file.parent, delete=False) as new:
            new.write(f"[default]\n{keys}")
        os.replace(new.name, file)  # it is read at the same time

    def plan(path: str, headers: Mapping[str, str]) -> Fault | None:
        if path.endswith(MANIFEST) or signed_by(headers) == "ASIANEW":
            return None
        write("ASIANEW")
        return Fault(400, {}, b"<Error><Code>ExpiredToken</Code></Error>")

    write("ASIAOLD")
    place.machine.environment |= {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    place.proxy.plan = plan
    done = place.machine.pull(*place.words)
    assert done.code == 0, done.err
    assert {signed_by(headers) for _path, headers in place.proxy.seen} == {"ASIAOLD", "ASIANEW"}

    # The next time there are no new ones.
    (place.root / BIG).unlink()
    body = b"<Error><Code>ExpiredToken</Code></Error>"
    place.proxy.plan = lambda _path, _headers: Fault(400, {}, body)
    done = place.machine.pull(*place.words)
    assert done.code == 3
    assert "They were for a time only" in done.err


@pytest.mark.parametrize("place", ["gcs"], indirect=True)
def test_a_token_is_renewed_in_mid_run(place: Place) -> None:
    refused: set[str] = set()

    def plan(path: str, headers: Mapping[str, str]) -> Fault | None:
        token = headers["authorization"]
        if not path.endswith(MANIFEST) and not refused:
            refused.add(token)
        return Fault(401) if token in refused else None

    place.proxy.plan = plan
    done = place.machine.pull(*place.words)
    assert done.code == 0, done.err
    assert len(refused) == 1
    assert place.is_whole()


def test_a_store_that_asks_to_slow_down(place: Place) -> None:
    left = [Fault(503, {}, b"<Error><Code>SlowDown</Code></Error>") for _ in range(5)]

    def plan(path: str, _headers: Mapping[str, str]) -> Fault | None:
        return left.pop() if path.endswith(".jpg") and left else None

    place.proxy.plan = plan
    done = place.machine.pull(*place.words, "-v")
    assert done.code == 0, done.err
    assert left == []
    assert place.is_whole()


def test_a_bucket_in_another_region(place: Place) -> None:
    def plan(_path: str, headers: Mapping[str, str]) -> Fault | None:
        is_there = "/eu-west-1/s3/" in headers["authorization"]
        return None if is_there else Fault(301, {"x-amz-bucket-region": "eu-west-1"})

    place.proxy.plan = plan
    done = place.machine.pull(*place.words)
    assert done.code == 0, done.err
    asked = [headers["authorization"] for _path, headers in place.proxy.seen]
    assert sum("/us-east-1/" in each for each in asked) == 1


def test_an_object_that_changes_between_two_requests(place: Place) -> None:
    """The new end is not joined with the old beginning."""
    new = noise("another", 5 << 18)
    files = {**FILES, BIG: new}
    folder = f"changing/{SLUG}/{VERSION}"
    for path, data in {**FILES, MANIFEST: manifest_of(files)}.items():
        place.store.put(f"{folder}/{path}", data)
    cuts = [Fault(cut=1 << 20)]

    def plan(path: str, _headers: Mapping[str, str]) -> Fault | None:
        if path.endswith(BIG) and cuts:
            return cuts.pop()
        if path.endswith(BIG):
            place.store.put(f"{folder}/{BIG}", new)
        return None

    place.proxy.plan = plan
    place.address = f"s3://{BUCKET}/changing"
    done = place.machine.pull(*place.words, "--connections", "1")
    assert done.code == 0, done.err
    assert (place.root / BIG).read_bytes() == new


def test_a_dry_run_tells_requests_and_cost(place: Place) -> None:
    done = place.machine.run("pull", "--dry-run", *place.words)
    assert done.code == 0, done.err
    assert f"{place.address}: about {len(FILES)} requests; the cloud may charge" in done.out
    own = place.machine.home / "datasets.yaml"
    own.write_text("stores: {prices: {s3: {per_gb: 0, per_1000_requests: 1000, currency: EUR}}}\n")
    place.machine.environment["CXRSYNC_DATASETS"] = str(own)
    done = place.machine.run("pull", "--dry-run", *place.words)
    assert f"about {len(FILES)}.00 EUR by your prices" in done.out
    done = place.machine.run("pull", "--dry-run", "--json", *place.words)
    assert (done.summary["requests"], done.summary["cost"]) == (len(FILES), len(FILES))


# ── several sources in order ───────────────────────────────────────────────────────────────────


LAB_TIME = 1_500_000_000


def laboratory(place: Place, files: Mapping[str, bytes]) -> Path:
    """A tree of the laboratory's own, which holds these files and the manifest; all have the time
    LAB_TIME."""
    root = place.machine.home / "lab" / SLUG / VERSION
    for path, data in {MANIFEST: manifest_of(FILES), **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        os.utime(root / path, (LAB_TIME, LAB_TIME))
    return root.parent.parent


def has_lab_time(place: Place, path: str) -> bool:
    return (place.root / path).stat().st_mtime == LAB_TIME


def test_what_the_first_lacks_or_has_wrong_comes_from_the_next(place: Place) -> None:
    images = [path for path in FILES if path.endswith(".jpg")]
    wrong, lacking = images[0], images[1]
    mine = {path: data for path, data in FILES.items() if path != lacking}
    mine[wrong] = b"rot" + FILES[wrong][3:]
    lab = laboratory(place, mine)
    words = ("--dataset", SLUG, "--dataset-version", VERSION, "--from", str(lab))
    done = place.machine.run("pull", "--json", *words, "--from", place.address)
    assert done.code == 0, done.err
    assert place.is_whole()
    first, second = done.summary["sources"]
    assert (first["source"], first["files"]) == (lab.as_uri(), len(FILES) - 2)
    assert (second["source"].split(" at ")[0], second["files"]) == (place.address, 2)
    assert second["bytes"] == len(FILES[wrong]) + len(FILES[lacking])
    asked = {path.rpartition("/")[2] for path, _headers in place.proxy.seen}
    assert asked == {wrong.rpartition("/")[2], lacking.rpartition("/")[2]}
    assert f"2 files (18.0 kB) from {place.address}" in done.err
    assert (has_lab_time(place, wrong), has_lab_time(place, lacking)) == (True, False)
    # Alone, the laboratory's tree is wrong.
    place.machine.dest = place.machine.home / "alone"
    assert place.machine.pull(*words).code == 6


def test_a_known_mismatch_is_asked_of_the_next(place: Place) -> None:
    wrong = next(path for path in FILES if path.endswith(".jpg"))
    lab = laboratory(place, {**FILES, wrong: b"rot" + FILES[wrong][3:]})
    words = ("--dataset", SLUG, "--dataset-version", VERSION, "--from", str(lab))
    assert place.machine.pull(*words).code == 6
    done = place.machine.pull(*words, "--from", place.address)
    assert done.code == 0, done.err
    assert place.is_whole()


def test_a_time_that_is_known_replaces_that_of_the_store(place: Place) -> None:
    words = ("--dataset", SLUG, "--dataset-version", VERSION)
    images = [path for path in FILES if path.endswith(".jpg")]
    lab = laboratory(place, FILES)
    assert place.machine.pull(*words, "--from", str(lab)).code == 0
    (place.root / images[0]).unlink()  # its record tells the time
    (place.root / images[1]).write_bytes(b"rot" + FILES[images[1]][3:])
    os.utime(place.root / images[1], (LAB_TIME, LAB_TIME))
    repaired = place.machine.run("verify", "--repair", *place.words)
    assert repaired.code == 0, repaired.err
    assert [path for path in (MANIFEST, *FILES) if not has_lab_time(place, path)] == []
    # A folder that is asked later tells it, too.
    place.machine.dest = place.machine.home / "again"
    done = place.machine.pull(*place.words, "--from", str(lab))
    assert done.code == 0, done.err
    assert [path for path in FILES if not has_lab_time(place, path)] == []
    assert len(place.proxy.seen) > len(FILES)  # the store has sent them


def test_a_source_that_refuses_us_is_left_out(place: Place) -> None:
    lab = laboratory(place, FILES)
    place.proxy.plan = lambda _path, _headers: Fault(403, {}, DENIED)
    done = place.machine.run("pull", *place.words, "--from", str(lab))
    assert done.code == 0, done.err
    assert f"nothing is fetched from {place.address}" in done.err
    assert len(place.proxy.seen) == 2
    assert place.is_whole()


def test_a_file_that_nobody_has(place: Place) -> None:
    lab = laboratory(place, {BIG: FILES[BIG]})
    lost = next(path for path in FILES if path.endswith(".jpg"))
    place.proxy.plan = lambda path, _headers: Fault(404) if path.endswith(lost) else None
    words = ("--dataset", SLUG, "--dataset-version", VERSION, "--from", str(lab))
    done = place.machine.pull(*words, "--from", place.address)
    assert done.code == 5, done.err
    assert [each["path"] for each in done.summary["problems"]] == [lost]


def test_a_broken_source_is_followed_by_the_next(place: Place) -> None:
    lab = laboratory(place, FILES)
    place.proxy.plan = lambda path, _headers: None if path.endswith(MANIFEST) else Fault(cut=0)
    done = place.machine.pull(*place.words, "--from", str(lab), "--retries", "0")
    assert done.code == 0, done.err
    assert place.is_whole()


def test_a_store_without_a_manifest(place: Place) -> None:
    """It is PhysioNet's then, or a file of the user's."""
    for path, data in FILES.items():
        place.store.put(f"bare/{SLUG}/{VERSION}/{path}", data)
    place.address = f"s3://{BUCKET}/bare"
    sums = place.machine.home / "sums.txt"
    sums.write_bytes(manifest_of(FILES))
    done = place.machine.pull(*place.words, "--manifest", str(sums))
    assert done.code == 0, done.err
    assert place.is_whole()
    assert not any(path.endswith(MANIFEST) for path, _headers in place.proxy.seen)

    place.machine.dest = place.machine.home / "again"
    with ScriptedServer({**FILES, BIG: b"not asked for"}, manifest=manifest_of(FILES)) as site:
        place.machine.base_url = site.base_url
        done = place.machine.run("pull", *place.words)
        asked = {each.path for each in site.log}
    assert done.code == 0, done.err
    assert place.is_whole()
    assert f"{MANIFEST} is fetched from {site.base_url}" in done.err
    assert asked == {MANIFEST}


def test_a_wrong_address_is_told_before_physionet_is_asked(place: Place) -> None:
    typo = f"s3://{BUCKET}/typo"
    words = ("--dataset", SLUG, "--dataset-version", VERSION, "--from", typo)
    with ScriptedServer(FILES) as site:
        place.machine.base_url = site.base_url
        done = place.machine.pull(*words)
        assert site.log == []
    assert done.code == 2
    assert f"S3 has nothing in {typo}/{SLUG}/{VERSION}/" in done.err
    assert "Check the address in --from" in done.err
    assert len(place.proxy.seen) == 3  # two manifests and a list
    # Another source may have it.
    lab = laboratory(place, FILES)
    done = place.machine.run("pull", *words, "--from", str(lab))
    assert done.code == 0, done.err
    assert f"nothing is fetched from {typo}" in done.err


def test_a_wrong_address_of_a_store_that_is_not_listed(place: Place) -> None:
    files = {f"files/{n}.txt": noise(str(n), 50) for n in range(60)}
    place.address = f"s3://{BUCKET}/typo"
    place.proxy.plan = lambda path, _headers: Fault(403) if "list-type" in path else None
    with ScriptedServer(files) as site:
        place.machine.base_url = site.base_url
        done = place.machine.pull(*place.words)
    assert done.code == 2
    assert f"{place.address} at {place.proxy.url} has none of the first" in done.err
    assert "Check the address in --from" in done.err
    assert len(place.proxy.seen) < 62


@pytest.mark.parametrize("place", ["moto", "gcs"], indirect=True)
def test_a_folder_of_one_version_whatever_its_name(place: Place) -> None:
    for path, data in {**FILES, MANIFEST: manifest_of(FILES)}.items():
        place.store.put(f"mycopy/{path}", data)
    place.address = f"{place.store.scheme}://{BUCKET}/mycopy"
    done = place.machine.run("pull", *place.words)
    assert done.code == 0, done.err
    assert f"{place.address} does not say which version it holds: {SLUG} {VERSION}" in done.err
    assert place.is_whole()
    told = place.machine.run("access", *place.words)
    assert told.code == 0, told.out
    place.machine.dest = place.machine.home / "again"
    done = place.machine.pull("--jpg", "--from", place.address)
    assert done.code == 2
    assert "does not say of which" in done.err


def test_the_head_of_a_table(place: Place) -> None:
    table = b"subject_id,study_id\n10000032,50414267\n"
    name = "cxr-study-list.csv"
    for path, data in {name: table, MANIFEST: manifest_of({name: table})}.items():
        place.store.put(f"tables/{SLUG}/{VERSION}/{path}", data)
    place.address = f"s3://{BUCKET}/tables"
    done = place.machine.run("head", name, *place.words)
    assert done.code == 0, done.err
    assert "subject_id" in done.out


def test_a_store_that_is_not_there(place: Place) -> None:
    words = (*place.words, "--endpoint-url", "http://127.0.0.1:1", "--give-up-after", "0.1")
    done = place.machine.pull(*words)
    assert done.code == 10
    assert "the address in --from, --endpoint-url or AWS_ENDPOINT_URL" in done.err


@pytest.mark.parametrize(
    ("word", "module", "extra"),
    [("s3", "botocore.session", "s3"), ("gcs", "google.auth", "gcs")],
)
def test_without_the_extra(
    place: Place, monkeypatch: pytest.MonkeyPatch, word: str, module: str, extra: str
) -> None:
    nothing: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    monkeypatch.setitem(nothing, module, None)
    place.machine.environment["CXRSYNC_ENDPOINT_URL"] = None
    done = place.machine.pull("--jpg", "--from", word)
    assert done.code == 2
    assert f"pip install 'cxrsync[{extra}]'" in done.err


def test_neither_extra_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, cxrsync; from cxrsync.cli import main; main.run(['pull', '--help']); "
        "print([name for name in ('botocore', 'google.auth', 'boto3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# ── PhysioNet's own names, by moto_proxy ───────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoProxy]:
    """AWS with an access point of the catalogue's name."""
    proxy = MotoProxy(tmp_path_factory.mktemp("aws"))
    try:
        proxy.make_access_point(f"{SLUG}-v1-0-02")
        for path, data in {**FILES, MANIFEST: manifest_of(FILES)}.items():
            proxy.put(f"{SLUG}/{VERSION}/{path}", data)
        yield proxy
    finally:
        proxy.stop()


@pytest.mark.parametrize(
    "source",
    [
        ("s3", "--access-point-number", "02"),
        (f"s3://arn:aws:s3:us-east-1:123456789012:accesspoint/{SLUG}-v1-0-02/{SLUG}/{VERSION}/",),
        (f"s3://{BUCKET}",),
    ],
    ids=["by its name", "by its ARN", "a bucket"],
)
def test_the_real_names_of_aws(aws: MotoProxy, tmp_path: Path, source: tuple[str, ...]) -> None:
    catalogue = tmp_path / "datasets.yaml"
    catalogue.write_text('stores: {s3: {account: "123456789012"}}\n')
    machine = Machine(tmp_path, tmp_path / "data", "https://127.0.0.1:1/files", aws.ca_file)
    machine.environment = {
        "CXRSYNC_DATASETS": str(catalogue), "https_proxy": aws.url, "PHYSIONET_USERNAME": None,
        "PHYSIONET_PASSWORD": None, **aws.environment(tmp_path),
    }  # fmt: skip
    words = ("--dataset", SLUG, "--dataset-version", VERSION, "--from", *source)
    done = machine.pull(*words)
    assert done.code == 0, done.err
    told = machine.run("access", "--dataset", SLUG, "--dataset-version", VERSION, *words[4:])
    assert told.code == 0, told.out
    assert "an IAM user (" in told.out
    assert sha256sum(machine.dest / SLUG / VERSION, "--check", "--quiet", MANIFEST).returncode == 0
