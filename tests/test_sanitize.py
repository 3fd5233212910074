"""Foreign text: nothing of an exception's text is shown, and no invisible character of any text."""

import errno
import io
import os
import socket
import sqlite3
import ssl
import traceback
from contextlib import closing, suppress

import pytest
import trustme
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.errors import CxrsyncError, Interrupted
from cxrsync.sanitize import printable, reason_of, trace, without_ids, without_secrets
from cxrsync.storage.filesystem import UnexpectedFile

many = settings(max_examples=examples(200))
SECRET = "sessionid=SECRETSESSION123"


# ── messages ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no a: https://alice:hun/ter2@host/x is none", "no a: https://…@host/x is none"),
        ("--report 'https:/alice:x@host/x?sig=S#f' is", "--report 'https:/…@host/x?…' is"),
        ("see https://host/x#part.", "see https://host/x?…"),
        ("see https://physionet.org/content/x/1.0/", "see https://physionet.org/content/x/1.0/"),
        ("/data/a@b is no folder; mail me@example.org?", None),
        ("PHI-report@physionet.org; what is it?", None),
    ],
)
def test_a_message_shows_no_secret_of_an_address(text: str, shown: str | None) -> None:
    assert without_secrets(text) == (shown or text)


# ── exceptions ─────────────────────────────────────────────────────────────────────────────────


def verification(code: int) -> ssl.SSLCertVerificationError:
    problem = ssl.SSLCertVerificationError(1, SECRET)
    problem.verify_code = code
    problem.verify_message = SECRET
    return problem


def of_sqlite(*statements: str) -> sqlite3.Error:
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in statements[:-1]:
            db.execute(statement)
        with pytest.raises(sqlite3.Error) as caught:
            db.execute(statements[-1])
    return caught.value


def of_openssl() -> ssl.SSLError:
    with pytest.raises(ssl.SSLError) as caught:
        ssl.create_default_context().load_verify_locations(cafile=__file__)
    return caught.value


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (OSError(errno.ECONNRESET, SECRET), os.strerror(errno.ECONNRESET)),
        (OSError(errno.ENOSPC, SECRET, "/data"), os.strerror(errno.ENOSPC)),
        (OSError(SECRET), "OSError"),
        (OSError(99_999, SECRET), "OSError"),
        (TimeoutError(SECRET), "TimeoutError"),
        (ValueError(SECRET), "ValueError"),
        (KeyError(SECRET), "KeyError"),
        (UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET), "UnicodeEncodeError"),
        (socket.gaierror(socket.EAI_NONAME, SECRET), "its name is unknown"),
        (socket.gaierror(SECRET), "gaierror"),
        # OpenSSL's error 1 is not the errno EPERM.
        (ssl.SSLError(1, SECRET), "SSLError"),
        (verification(10), "its certificate has expired"),
        (verification(62), "its certificate belongs to another host"),
        (verification(77), "its certificate is not valid (OpenSSL: 77)"),
        (of_openssl(), "TLS: NO_CERTIFICATE_OR_CRL_FOUND"),
        (sqlite3.DatabaseError(SECRET), "DatabaseError"),
        (of_sqlite("CREATE TABLE t (a UNIQUE)", *["INSERT INTO t VALUES (1)"] * 2),
         "SQLITE_CONSTRAINT_UNIQUE"),
        (of_sqlite("PRAGMA query_only = 1", "CREATE TABLE t (a)"), "it cannot be written to"),
        (ExceptionGroup(SECRET, [ValueError(SECRET), OSError(errno.EIO, SECRET)]),
         f"ValueError, {os.strerror(errno.EIO)}"),
        # cxrsync's own errors keep their text.
        (Interrupted("the line went silent"), "the line went silent"),
        (CxrsyncError(""), "CxrsyncError"),
        (UnexpectedFile(errno.EINVAL, "not a regular file", "/data/x"), "not a regular file"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)  # fmt: skip
def test_the_reason_of(problem: BaseException, words: str) -> None:
    problem.add_note(SECRET)
    assert reason_of(problem) == words
    assert SECRET not in "\n".join(trace(problem))


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    for end in ends * 4:
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()


@pytest.mark.parametrize(
    ("is_trusted", "name", "words"),
    [
        (False, "here.test", "its certificate comes from no trusted authority"),
        (True, "elsewhere.test", "its certificate belongs to another host"),
        (True, "10.1.2.3", "its certificate belongs to another address"),
    ],
)
def test_the_reason_for_a_refused_certificate(is_trusted: bool, name: str, words: str) -> None:
    """A real handshake, so that the numbers are those of OpenSSL."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("here.test").configure_cert(server)
    client = ssl.create_default_context()
    if is_trusted:
        authority.configure_trust(client)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        shake_hands(client, server, name)
    assert reason_of(caught.value) == words


def fall(problem: BaseException) -> None:
    raise problem


def raised(problem: BaseException, *, cause: BaseException | None, hides: bool) -> BaseException:
    """``problem`` as it comes out of a handler of something that quotes a header."""
    try:
        try:
            fall(ValueError(SECRET))
        except ValueError:
            if hides:
                raise problem from cause
            fall(problem)
    except BaseException as caught:  # noqa: BLE001 - handed on
        return caught
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("hides", [False, True])
def test_a_trace_says_where_and_nothing_else(hides: bool) -> None:
    inner = raised(OSError(errno.EIO, SECRET), cause=None, hides=False)
    group = BaseExceptionGroup(SECRET, [inner, KeyError(SECRET)])
    problem = raised(Interrupted("the line broke"), cause=group, hides=hides)
    problem.add_note(SECRET)
    said = "\n".join(trace(problem))
    assert SECRET not in said
    assert SECRET in "".join(traceback.format_exception(problem))  # there is something to hide
    assert said.endswith("Interrupted: the line broke")
    assert said.count("in raised") == (3 if hides else 2)
    assert ("KeyError" in said) == hides
    assert os.strerror(errno.EIO) in said or not hides


def test_the_trace_of_a_circular_chain_ends() -> None:
    one, two = ValueError(SECRET), KeyError(SECRET)
    one.__cause__, two.__cause__ = two, one
    assert list(trace(one))[-1] == "ValueError"


# ── text ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("files/p10/a b.jpg", "files/p10/a b.jpg"),
        ("Grüße 北京 → …", "Grüße 北京 → …"),
        ("c:\\x1b", "c:\\x1b"),
        ("\x1b[2J\x1b]0;x\x07", "\\x1b[2J\\x1b]0;x\\x07"),
        ("\x9b2J", "\\x9b2J"),  # C1: an escape sequence in one byte
        ("a\r\nfailed: b", "a\\x0d\\x0afailed: b"),
        ("gpj.\u202egnp", "gpj.\\u202egnp"),
        ("a\u2028b\u200bc\ufeff", "a\\u2028b\\u200bc\\ufeff"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@many
@given(st.text(st.characters()))
@example("".join(map(chr, range(0x100))))
def test_printable_text_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
    assert len(io.StringIO(shown).readlines()) <= 1
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("files/p10/p10000032/s50414267/x.jpg: denied", "files/p10/…/…/x.jpg: denied"),
        ("02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg", "….jpg"),
        ("subject P10000032, study S50414267", "subject …, study …"),
        ("subject 10000032, study 50414267", "subject …, study …"),
        ("it has " + "ab" * 32, "it has …"),
        ("p10 p19 root 377,110 files, 12 GB", "p10 p19 root 377,110 files, 12 GB"),
        ("mimic-cxr-jpg 2.1.0, https://physionet.org", "mimic-cxr-jpg 2.1.0, https://physionet.org"),
        ("20261126T042813Z, status 404, seed 7", "20261126T042813Z, status 404, seed 7"),
        ("/scratch/job12345678/mirror", "/scratch/job12345678/mirror"),
        ("GET /files/p10/p10000032/s50414267/", "GET /files/p10/…/…/"),
        ("files%2Fp10%2Fp10000032%2fs50414267.txt", "files%2Fp10%2F…%2f….txt"),
        ("%2F02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "%2F…"),
        ("p10000032_s50414267 p10000032s50414267", "…_… ……"),
        (r"p10\np10000032\x0as50414267\t10000032", r"p10\n…\x0a…\t…"),
        ("--subject=10000032 --study '50414267' x_10000032", "--subject=… --study '…' x_…"),
        ("{'10000032': [50414267]}", "{'…': […]}"),
        ("files/p00/p000123/x.dcm", "files/p00/…/x.dcm"),
        ("page 404 of https12345, steps50000, mp4", "page 404 of https12345, steps50000, mp4"),
    ],
)  # fmt: skip
def test_without_ids(text: str, shown: str) -> None:
    assert without_ids(text) == shown


@many
@given(
    st.text(st.characters()), st.sampled_from(["p10000032", "S50414267"]), st.text(st.characters())
)
def test_no_text_around_an_id_shows_it(before: str, known: str, after: str) -> None:
    assert known[1:] not in without_ids(f"{before}{known}{after}")
