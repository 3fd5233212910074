"""What --ca-file may hold, and what is said of a certificate that is not trusted."""

import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from cxrsync.errors import Untrusted, UsageError
from cxrsync.sources.http.tls import client_context, untrusted

PEM = trustme.CA().cert_pem.bytes()
KEY = trustme.CA().issue_cert("a.test").private_key_pem.bytes()
DER = ssl.PEM_cert_to_DER_cert(PEM.decode())
# The begins of what `openssl crl2pkcs7 -outform der` and `openssl pkcs12 -export` write.
P7B = bytes.fromhex("3082012306092a864886f70d010702a08201143082")
P12 = bytes.fromhex("3082097102010330820937 06092a864886f70d010701a0820928")

Case = tuple[bytes, str, str]
REFUSED: dict[str, Case] = {
    "DER": (DER, "DER", "openssl x509 -inform der -in {file} -out {file}.pem"),
    "PKCS #7 in DER": (P7B, "DER", "openssl pkcs7 -inform der -print_certs -in {file}"),
    "PKCS #12": (P12, "DER", "openssl pkcs12 -nokeys -in {file}"),
    "PKCS #7": (
        b"-----BEGIN PKCS7-----\nMIIC\n",
        "PKCS #7",
        "openssl pkcs7 -print_certs -in {file}",
    ),
    "empty": (b"\n", "empty", "PEM"),
    "a key": (KEY, "private key", "certificate"),
    "cut short": (PEM[:300], "damaged", "openssl storeutl"),
    "not base64": (PEM.replace(b"M", b"!"), "damaged", "openssl storeutl"),
    "text": (b"hello\n", "no certificate", "-----BEGIN CERTIFICATE-----"),
    "UTF-16": (PEM.decode().encode("utf-16"), "no certificate", "-----BEGIN CERTIFICATE-----"),
    "too large": (b"#\n" * (3 << 20), "too large", ""),
}
TAKEN = {
    "PEM": PEM,
    "with text around it": b"# T\xc3\xbcrk\n" + PEM + b"more\n",
    "lines of Windows": PEM.replace(b"\n", b"\r\n"),
    "with a key": PEM + KEY,
    "two": PEM + trustme.CA().cert_pem.bytes(),
}


def refusal(file: Path) -> UsageError:
    with pytest.raises(UsageError) as refused:
        client_context(file)
    assert str(refused.value).startswith(f"--ca-file {file}: ")
    return refused.value


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_list_of_authorities(tmp_path: Path, name: str) -> None:
    content, what, step = REFUSED[name]
    file = tmp_path / "ca.crt"
    file.write_bytes(content)
    error = refusal(file)
    assert what in str(error)
    assert step.format(file=file) in error.next_step


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_one(tmp_path: Path, name: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(TAKEN[name])
    before = len(ssl.create_default_context().get_ca_certs())
    assert len(client_context(file).get_ca_certs()) > before


@contextmanager
def piped(folder: Path, content: bytes) -> Iterator[Path]:
    """A pipe that somebody writes to, as ``--ca-file <(command)`` has it."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    yield pipe
    writer.join()


def test_a_pipe(tmp_path: Path) -> None:
    with piped(tmp_path, TAKEN["with text around it"]) as pipe:
        assert client_context(pipe).get_ca_certs()


def test_a_pipe_with_something_else(tmp_path: Path) -> None:
    with piped(tmp_path, DER) as pipe:
        assert "openssl x509 -inform der" in refusal(pipe).next_step


def test_a_folder_and_nothing(tmp_path: Path) -> None:
    assert "Is a directory" in str(refusal(tmp_path))
    assert "No such file" in str(refusal(tmp_path / "none"))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_command_makes_what_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "with a blank.der"
    file.write_bytes(DER)
    command = refusal(file).next_step.partition("after: ")[2]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert client_context(Path(f"{file}.pem")).get_ca_certs()


# ── a certificate that is not trusted ──────────────────────────────────────────────────────────


NOW = datetime(2019, 1, 1, 13, 30, tzinfo=UTC)


def verified(number: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code = number
    return error


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (9, "2019-01-01 13:30 UTC. It is probably wrong"),
        (10, "2019-01-01 13:30 UTC. If that is wrong"),
        (18, "--ca-file"),
        (20, "--ca-file"),
        (62, "Do not send a password"),
    ],
)
def test_why_a_certificate_is_not_trusted(number: int, said: str) -> None:
    error = untrusted("physionet.org", verified(number), NOW)
    assert isinstance(error, Untrusted)
    assert "cannot trust physionet.org" in str(error)
    assert said in error.next_step
    assert ("clock" in error.next_step) == (number in {9, 10})


def test_the_clock_is_told_in_utc() -> None:
    here = NOW.astimezone(datetime.now().astimezone().tzinfo) + timedelta(0)
    assert "13:30 UTC" in untrusted("a.test", verified(9), here).next_step


def test_a_machine_without_authorities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    for folder in (tmp_path / "none", tmp_path):
        monkeypatch.setenv("SSL_CERT_DIR", str(folder))
        assert "ca-certificates" in untrusted("a.test", verified(20), NOW).next_step
    (tmp_path / "file").write_bytes(PEM)
    assert "ca-certificates" not in untrusted("a.test", verified(20), NOW).next_step
