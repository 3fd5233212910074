"""An entry of a netrc file is added or taken out, and all else stays; what is written is read back
by ours and by Python's own reader."""

import io
import netrc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cxrsync.sources.credentials import find
from cxrsync.sources.netrc_edit import logins_for, with_entry, without_entry
from cxrsync.sources.netrc_file import parse_netrc

HOST = "physionet.org"
OURS = f"machine {HOST} login ann password hush\n"
OTHER = "machine example.org login bob password other"
MACRO = "macdef init\ncd pub\nbin\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", OURS),
        (f"{OTHER}\n", f"{OTHER}\n{OURS}"),
        (OTHER, f"{OTHER}\n{OURS}"),
        (f"{OTHER}\r\n", f"{OTHER}\r\n{OURS[:-1]}\r\n"),
        (f"# mine\n\n{OTHER}\n# end\n", f"# mine\n\n{OTHER}\n# end\n{OURS}"),
        # Before the entry for all hosts, and before that of another user.
        ("default login anon password x\n", f"{OURS}default login anon password x\n"),
        (
            f"machine {HOST} login zoe password z\n",
            f"{OURS}machine {HOST} login zoe password z\n",
        ),
        # The same user's is replaced, in whatever form.
        (f"machine {HOST} login ann password old\n", OURS),
        (f"machine {HOST}\n  login ann\n  password old\n", OURS),
        (f"machine {HOST.upper()} user ann account a password old", OURS),
        (f"machine {HOST} login ann password old # since May\n", f"# since May\n{OURS}"),
        (f"machine {HOST} password old\n{OTHER}\n", f"{OTHER}\n{OURS}"),
        (f"machine {HOST} login ann password two words\n{OTHER}\n", f"{OTHER}\n{OURS}"),
        (
            f"{OTHER} machine {HOST} login ann password old {OTHER}\n",
            f"{OTHER} {OTHER}\n{OURS}",
        ),
        # A macro ends with an empty line only.
        (f"{OTHER}\n{MACRO}", f"{OTHER}\n{MACRO}\n{OURS}"),
        (f"{OTHER}\n{MACRO}\n", f"{OTHER}\n{MACRO}\n{OURS}"),
        # A comment, or a password, that only looks like an entry.
        (f"# machine {HOST} login ann\n", f"# machine {HOST} login ann\n{OURS}"),
        (
            f"machine a.org login machine password {HOST}\n",
            f"machine a.org login machine password {HOST}\n{OURS}",
        ),
        ("\ufeff" + OTHER + "\n", "\ufeff" + OTHER + "\n" + OURS),
    ],
)
def test_an_entry_is_added(before: str, after: str) -> None:
    assert with_entry(before, HOST, "ann", "hush") == after
    assert with_entry(after, HOST, "ann", "hush").count("hush") == 1


def test_an_entry_is_taken_out() -> None:
    both = f"{OTHER}\n{OURS}machine {HOST} login zoe password z\n# end\n"
    assert without_entry(both, HOST) == f"{OTHER}\n# end\n"
    assert (
        without_entry(both, HOST, "ann") == f"{OTHER}\nmachine {HOST} login zoe password z\n# end\n"
    )
    assert without_entry(both, "elsewhere.org") == both
    assert logins_for(both, HOST) == ["ann", "zoe"]


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
NETRC = st.lists(
    st.sampled_from(
        [OTHER, OURS, MACRO, "\n", "# machine x\n", "default login a password b\n", "machine", " ",
         "login", '"', "\\", f"machine {HOST} login zoe password z\n", "stray", "\r\n", "\x0c"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(words, words, NETRC)
@example("a b", '"#\\', "")
@example("machine", "#", "")
def test_whatever_is_written_is_read_back(login: str, password: str, before: str) -> None:
    assume(login.isprintable() and password.isprintable())
    try:
        after = with_entry(before, HOST, login, password)
    except ValueError:
        # Only after a text that is no netrc file: a word without its value takes ours.
        assert before
        return
    entries, _stray = parse_netrc(after)
    first = next(each for each in entries if each.host == HOST)
    assert (first.login, first.password) == (login, password)
    others = [each.values for each in parse_netrc(before)[0] if each.host not in {HOST, ""}]
    assert [each.values for each in entries if each.host not in {HOST, ""}] == others
    again = without_entry(after, HOST, login)
    assert [each.login for each in parse_netrc(again)[0] if each.host == HOST] == [
        each.login
        for each in parse_netrc(before)[0]
        if each.host == HOST and each.login not in {login, ""}
    ]


@given(words, words)
def test_pythons_own_reader_agrees(login: str, password: str) -> None:
    assume(login.isprintable() and password.isprintable())
    text = with_entry("", HOST, login, password)
    read: Any = netrc.netrc.__new__(netrc.netrc)
    read.hosts, read.macros = {}, {}
    read._parse("netrc", io.StringIO(text), False)
    assert read.hosts[HOST] == (login, "", password)


@given(words, words)
def test_so_do_we(tmp_path_factory: pytest.TempPathFactory, login: str, password: str) -> None:
    assume(login.isprintable() and password.isprintable())
    file: Path = tmp_path_factory.getbasetemp() / "netrc"
    file.write_text(with_entry("", HOST, login, password), "utf-8")
    file.chmod(0o600)
    found = find(HOST, None, {"NETRC": str(file)})
    assert (found.username, found.password) == (login, password)


@pytest.mark.parametrize("password", ["", "two\nlines", "a\tb", "\x00"])
def test_a_password_that_no_netrc_can_hold(password: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        with_entry("", HOST, "ann", password)
