"""The machine: homes, owners, limits and variables that a pull on a laptop never meets."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from e2e.scripted import SLUG, VERSION, ScriptedServer, noise
from e2e.stage import JPG, PATIENCE, Ended, Machine, fingerprint

from cxrsync.demo.server.server import MiniPhysioNet

SHARD = ("--jpg", "--shard", "p10", "--progress", "none")
COLLEAGUE = 65534
# As any user: root's own files, and nothing more to say of those of others.
CAPABILITIES = "-chown,-dac_override,-dac_read_search,-fowner"
AS_A_USER = ("setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES)


@pytest.fixture
def machine(
    shared_server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]
) -> Machine:
    return make_machine(shared_server)


@pytest.fixture
def two_users() -> None:
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("two users need root, and setpriv")
    if subprocess.run([*AS_A_USER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nobody may give up capabilities here")


def assert_told(done: Ended, code: int, *said: str) -> None:
    """It ended with a code that says why, and with words that say what to do."""
    assert done.code == code, done.err
    for each in said:
        assert each in done.err
    for each in ("Traceback", "unexpected", "room"):
        assert each not in done.err


# ── homes ──────────────────────────────────────────────────────────────────────────────────────


def give_away(folder: Path, mode: int = 0o700) -> None:
    """Let a folder, with all that is in it, be a colleague's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, COLLEAGUE, COLLEAGUE)
    folder.chmod(mode)


HOMES: dict[str, dict[str, str | None]] = {
    "that may not be entered": {"HOME": "{forbidden}"},
    "with settings that may not be entered": {"XDG_CONFIG_HOME": "{forbidden}"},
    "that is not there": {"HOME": "/nonexistent"},
    "that is a file": {"HOME": "/etc/passwd"},
    "that nothing names": {"HOME": None},
    "that is empty": {"HOME": ""},
    "relative": {"HOME": "here"},
    "that is no text": {"HOME": os.fsdecode(b"/\xff\xfe")},
    "too long": {"HOME": "/" + "x" * 5000},
}


@pytest.mark.parametrize("home", HOMES)
def test_a_home(machine: Machine, tmp_path: Path, home: str, two_users: None) -> None:
    forbidden = tmp_path / "forbidden"
    (forbidden / ".config/cxrsync").mkdir(parents=True)
    (forbidden / ".config/cxrsync/datasets.yaml").write_text("not: [valid")
    (forbidden / ".netrc").write_text("not valid")
    give_away(forbidden)
    machine.environment = {
        name: None if value is None else value.format(forbidden=forbidden)
        for name, value in HOMES[home].items()
    }
    done = machine.run_process("pull", *SHARD, through=AS_A_USER)
    assert done.code == 0, done.err
    refused = machine.run_process("status", "--jpg", "--dest", "~/none", through=AS_A_USER)
    assert refused.code in {2, 7}, refused.err


@pytest.mark.usefixtures("two_users")
def test_a_user_whom_nobody_knows(machine: Machine) -> None:
    """As in a container that runs with any number: no name, no home."""
    somebody = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
    can_import = [*somebody, sys.executable, "-c", "import cxrsync.cli.pull"]
    if subprocess.run(can_import, capture_output=True, check=False).returncode:
        pytest.skip("two users need root, and an interpreter that both may run")
    # The folders of the tests are closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        machine.ca_file = Path(shutil.copy(machine.ca_file, folder))
        machine.ca_file.chmod(0o644)
        machine.dest = folder / "mirror"
        machine.environment = {"HOME": None}
        done = machine.run_process("pull", *SHARD, through=somebody)
        assert done.code == 0, done.err


# ── another user's tree ────────────────────────────────────────────────────────────────────────


READERS = {
    "pull": ("pull", *SHARD),
    "dry run": ("pull", *SHARD, "--dry-run"),
    "verify": ("verify", "--jpg"),
    "status": ("status", "--jpg"),
    "ls": ("ls", "--jpg"),
    "from": ("pull", *SHARD, "--from", "{dest}", "--dest", "{other}"),
    "link from": ("pull", *SHARD, "--link-from", "{dest}", "--dest", "{other}"),
}
# The folder of which the mode forbids others to enter it.
DEPTHS = {"the destination": ".", "the dataset": JPG, "the version": f"{JPG}/2.1.0"}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("command", READERS)
def test_a_tree_that_may_not_be_entered(
    machine: Machine, tmp_path: Path, command: str, depth: str, two_users: None
) -> None:
    tree = machine.dest / f"{JPG}/2.1.0"
    tree.mkdir(parents=True)
    (tree / "SHA256SUMS.txt").write_text("")
    give_away(machine.dest, 0o755)
    forbidden = machine.dest / DEPTHS[depth]
    forbidden.chmod(0o700)
    words = [each.format(dest=machine.dest, other=tmp_path / "other") for each in READERS[command]]
    done = machine.run_process(*words, through=AS_A_USER)
    assert_told(done, 7, "may not be read", f"{forbidden}", "belongs to nobody", "Ask the owner")


@pytest.mark.parametrize("command", ["verify", "status"])
def test_a_manifest_that_may_not_be_read(machine: Machine, command: str, two_users: None) -> None:
    tree = machine.dest / f"{JPG}/2.1.0"
    tree.mkdir(parents=True)
    (tree / "SHA256SUMS.txt").write_text("")
    give_away(machine.dest, 0o755)
    (tree / "SHA256SUMS.txt").chmod(0o600)
    done = machine.run_process(*READERS[command], through=AS_A_USER)
    assert_told(done, 7, f"{tree}/SHA256SUMS.txt, which belongs to nobody, may not be read")


def test_a_destination_that_may_not_be_written(machine: Machine, two_users: None) -> None:
    machine.dest.mkdir()
    give_away(machine.dest, 0o755)
    done = machine.run_process("pull", *SHARD, through=AS_A_USER)
    assert_told(done, 7, "cannot write to", "Permission denied", "Ask the owner")


def test_a_report_into_a_folder_that_may_not_be_entered(
    machine: Machine, tmp_path: Path, two_users: None
) -> None:
    folder = tmp_path / "forbidden"
    folder.mkdir()
    give_away(folder)
    words = ("status", "--jpg", "--html", f"{folder}/x.html")
    done = machine.run_process(*words, through=AS_A_USER)
    assert_told(done, 2, "a folder that you may not write to")


# ── --ca-file ──────────────────────────────────────────────────────────────────────────────────


def test_a_ca_file(machine: Machine, tmp_path: Path, two_users: None) -> None:
    """In each form that people have; tests/sources/http/test_tls.py has them all."""
    der, closed = tmp_path / "ca.der", tmp_path / "closed.pem"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(machine.ca_file.read_text()))
    closed.write_bytes(machine.ca_file.read_bytes())
    give_away(closed, 0o600)
    for file, said in (
        (der, f"openssl x509 -inform der -in {der}"),
        (tmp_path, "it is a folder"),
        (closed, "Permission denied"),
        (tmp_path / "none", "no such file"),
        (Path("/dev/null"), "it is empty"),
    ):
        words = ("pull", *SHARD, "--ca-file", str(file))
        assert_told(machine.run_process(*words, through=AS_A_USER), 2, f"--ca-file {file}", said)


# ── a wrong clock ──────────────────────────────────────────────────────────────────────────────


def test_a_certificate_that_has_expired(machine: Machine, tmp_path: Path) -> None:
    """As far as this machine's clock says."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    authority.issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
    with ScriptedServer({"a": noise("a", 10)}, tls=context) as server:
        machine.base_url, machine.ca_file = server.base_url, tmp_path / "ca.pem"
        done = machine.pull("--dataset", SLUG, "--dataset-version", VERSION)
    assert_told(done, 10, "its certificate has expired", "This machine's clock says", "UTC")


# ── limits of the process ──────────────────────────────────────────────────────────────────────


LIMITS = {
    "open files": ("nofile", 8, 7, "ulimit -n"),
    "the size of files": ("fsize", 9000, 7, "ulimit -f"),
    "memory": ("as", 60_000_000, 7, "cannot continue"),  # or threads, which need it first
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit(machine: Machine, limit: str, two_users: None) -> None:
    """What is missing is named; then, without the limit, all arrives."""
    if shutil.which("prlimit") is None:
        pytest.skip("two users need root, setpriv and prlimit")
    name, most, code, said = LIMITS[limit]
    # Root may raise a limit again.
    bound = ("setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource")
    through = ("prlimit", f"--{name}={most}", *bound)
    done = machine.run_process("pull", *SHARD, through=through)
    assert_told(done, code, said, "run the same command again")
    assert machine.pull(*SHARD).code == 0


# ── variables of others ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file", ["/nonexistent/keys", "/"])
@pytest.mark.parametrize("words", [("--help",), ("pull", *SHARD)], ids=["help", "pull"])
def test_a_key_log_that_cannot_be_written(
    machine: Machine, file: str, words: tuple[str, ...]
) -> None:
    machine.environment = {"SSLKEYLOGFILE": file}
    done = machine.run_process(*words, through=("env",))
    assert_told(done, 0, f"SSLKEYLOGFILE is ignored: {file} cannot be written")


def test_nohup_is_obeyed(
    serve: Callable[..., MiniPhysioNet],
    make_machine: Callable[[MiniPhysioNet], Machine],
    jpg: Path,
) -> None:
    server = serve(rate=64 << 10)
    machine = make_machine(server)
    with machine.start("pull", *SHARD, through=("nohup",)) as process:
        while server.request_log.snapshot().requests < 5:
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=PATIENCE) == 0
    root = machine.dest / f"{JPG}/2.1.0"
    assert fingerprint(root, below="files/") == fingerprint(jpg, below="files/p10/")
