"""The client's side of TLS: which authorities are trusted, and why a certificate is not."""

from __future__ import annotations

import errno
import os
import shlex
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

from cxrsync.errors import Untrusted, UsageError
from cxrsync.sanitize import reason_of

# Far more than all authorities of a system take.
_MAX_BYTES = 4 << 20
_BEGIN = b"-----BEGIN "
_CERTIFICATES = (b"CERTIFICATE-----", b"X509 CERTIFICATE-----", b"TRUSTED CERTIFICATE-----")
# DER begins with a SEQUENCE whose length has two bytes or more. An object identifier near its begin
# says what it contains: PKCS #7 signedData, or data as in PKCS #12.
_DER = (b"\x30\x81", b"\x30\x82", b"\x30\x83")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_DATA = bytes.fromhex("06092a864886f70d010701")
_NEAR = 64
# Numbers of OpenSSL (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_NO_AUTHORITY = {19, 20, 21}


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those in ``ca_file`` (PEM).

    Raises UsageError if the file holds no certificate, with the command that makes one of it.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        _trust(context, ca_file)
    return context


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        with ca_file.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        if len(data) > _MAX_BYTES:
            raise _unusable(ca_file, "it is too large for a list of certificates")
        if is_regular:
            context.load_verify_locations(cafile=ca_file)
        else:  # a pipe can be read only once
            context.load_verify_locations(cadata=data.decode("ascii", "backslashreplace"))
    except (ssl.SSLError, ValueError):  # ValueError: of an empty pipe
        raise _unusable(ca_file, *why_no_certificate(data, ca_file)) from None
    except OSError as problem:
        if problem.errno in {errno.EMFILE, errno.ENFILE}:
            raise  # the file is not the cause
        step = "Name a file that you may read."
        raise _unusable(ca_file, reason_of(problem), step) from None


def _unusable(ca_file: Path, why: str, step: str = "") -> UsageError:
    return UsageError(f"--ca-file {ca_file}: {why}", next_step=step)


def why_no_certificate(data: bytes, file: Path) -> tuple[str, str]:
    """Return why OpenSSL finds no certificate in ``data``, and what to do."""
    name = shlex.quote(str(file))
    out = shlex.quote(f"{file}.pem")
    kinds = [line.removeprefix(_BEGIN) for line in data.splitlines() if line.startswith(_BEGIN)]
    if not data.strip():
        return "it is empty", "Name the PEM file of a certificate authority."
    if data.startswith(_DER):
        if _SIGNED_DATA in data[:_NEAR]:
            made = f"openssl pkcs7 -inform der -print_certs -in {name} -out {out}"
        elif _DATA in data[:_NEAR]:
            made = f"openssl pkcs12 -nokeys -in {name} -out {out}"
        else:
            made = f"openssl x509 -inform der -in {name} -out {out}"
        return "it is in the form DER, not PEM", f"Say --ca-file {out} after: {made}"
    if any(kind.startswith(b"PKCS7") for kind in kinds):
        made = f"openssl pkcs7 -print_certs -in {name} -out {out}"
        return "it is a PKCS #7 bundle", f"Say --ca-file {out} after: {made}"
    if any(kind.startswith(_CERTIFICATES) for kind in kinds):
        step = f"To see where: openssl storeutl -noout -certs {name}"
        return "a certificate in it is damaged or cut short", step
    if any(b"PRIVATE KEY" in kind for kind in kinds):
        return "it holds a private key, but no certificate", "Name the file of the certificate."
    what = "it holds no certificate"
    return what, "A PEM file has a line -----BEGIN CERTIFICATE----- for each certificate."


def untrusted(whom: str, problem: BaseException, now: datetime) -> Untrusted:
    """Return the error for a certificate that does not prove who ``whom`` is."""
    what = f"cannot trust {whom}: {reason_of(problem)}"
    number = getattr(problem, "verify_code", None)
    clock = f"This machine's clock says {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
    mend = "set it (timedatectl set-ntp true, or ask the administrator)"
    if number == _NOT_YET_VALID:
        step = f"{clock} It is probably wrong: {mend}, then run the same command again."
        return Untrusted(what, next_step=step)
    if number == _EXPIRED:
        step = (
            f"{clock} If that is wrong, {mend}, then run the same command again. If it is right, "
            f"wait until the administrators of {whom} renew the certificate."
        )
        return Untrusted(what, next_step=step)
    if number in _NO_AUTHORITY and not _has_authorities():
        step = (
            "This machine has no list of certificate authorities: install the package "
            "ca-certificates, or name such a list with --ca-file."
        )
        return Untrusted(what, next_step=step)
    return Untrusted(what)


def _has_authorities() -> bool:
    """Return whether the system has a file, or a folder that is not empty, of authorities."""
    found = ssl.get_default_verify_paths()
    try:
        return bool(found.cafile or (found.capath and os.listdir(found.capath)))
    except OSError:
        return False
