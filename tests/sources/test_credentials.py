"""Where a password is looked for, in which order, and that no error ever quotes one."""

import errno
import os
import stat
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxrsync.config.secret_file import Group
from cxrsync.errors import CredentialsRefused
from cxrsync.sources import credentials
from cxrsync.sources.credentials import Ask, Credentials, find, netrc_path

HOST = "physionet.org"
NETRC = f"machine {HOST} login net password from-netrc\n"
ENVIRON = {"PHYSIONET_USERNAME": "env", "PHYSIONET_PASSWORD": "from-env"}


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)  # type: ignore[arg-type]
    monkeypatch.setattr(credentials, "home_of_user", lambda: "/nonexistent")


def private(path: Path, text: str | bytes, mode: int = 0o600) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    private(tmp_path / ".netrc", NETRC)
    return {"HOME": str(tmp_path)}


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    asked = []

    def get_credential(service: str, username: str | None) -> SimpleNamespace:
        asked.append((service, username))
        return SimpleNamespace(username=username or "ring", password="from-keyring")

    fake = SimpleNamespace(get_credential=get_credential, get_password=lambda _service, _user: None)
    monkeypatch.setitem(sys.modules, "keyring", fake)  # type: ignore[arg-type]
    return asked


def ask(host: str, user: str | None) -> Credentials:
    return Credentials(f"asked for {user}", "from-a-person", host)


def nobody(_host: str, _user: str | None) -> None:
    """There is no terminal."""


def refused(
    environ: dict[str, str],
    user: str | None = None,
    ask: Ask = lambda *_who: pytest.fail("asked all the same"),
) -> CredentialsRefused:
    with pytest.raises(CredentialsRefused) as error:
        find(HOST, user, environ, ask)
    return error.value


def words(error: CredentialsRefused) -> str:
    return f"{error!r} {error.next_step} {''.join(traceback.format_exception(error))}"


# ── the order ──────────────────────────────────────────────────────────────────────────────────


def test_each_place_in_its_turn(
    home: dict[str, str], keyring: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find(HOST, None, {**home, **ENVIRON}, ask)
    assert found == Credentials("env", "from-env", "PHYSIONET_PASSWORD")
    assert keyring == []

    assert find(HOST, None, home, ask) == Credentials("ring", "from-keyring", "keyring")
    assert keyring == [(f"cxrsync:{HOST}", None)]

    monkeypatch.setitem(sys.modules, "keyring", None)  # type: ignore[arg-type]
    assert find(HOST, None, home, ask) == Credentials("net", "from-netrc", f"{home['HOME']}/.netrc")

    assert find(HOST, None, {}, ask) == Credentials("asked for None", "from-a-person", HOST)

    nobody = pytest.raises(CredentialsRefused, match="asks for a user name")
    with nobody as error:
        find(HOST, None, {})
    assert "chmod 600" in error.value.next_step
    with nobody:
        find(HOST, None, {}, lambda _host, _user: None)


def test_the_name_that_was_said(
    home: dict[str, str], keyring: list[tuple[str, str | None]]
) -> None:
    assert find(HOST, "me", ENVIRON).username == "me"
    assert find(HOST, "me", home).username == "me"
    assert find(HOST, None, {"PHYSIONET_USERNAME": "env"}).username == "env"
    assert [user for _service, user in keyring] == ["me", "env"]


@pytest.mark.parametrize(("user", "environ"), [("me", {}), (None, {"PHYSIONET_USERNAME": "me"})])
def test_another_ones_netrc_entry_is_not_taken(
    home: dict[str, str], user: str | None, environ: dict[str, str]
) -> None:
    assert find(HOST, user, {**home, **environ}, ask).username == "asked for me"


def test_empty_values_are_none(home: dict[str, str]) -> None:
    empty = dict.fromkeys([*ENVIRON, "PHYSIONET_PASSWORD_FILE", "NETRC"], "")
    assert find(HOST, None, {**home, **empty}).username == "net"
    assert find(HOST, None, empty, ask).username == "asked for None"


def test_a_password_without_a_name() -> None:
    error = refused({"PHYSIONET_PASSWORD": "hush"})
    assert "--user NAME" in error.next_step
    assert "hush" not in words(error)


def test_a_password_is_not_in_the_repr() -> None:
    assert repr(find(HOST, None, ENVIRON)) == (
        "Credentials(username='env', found_in='PHYSIONET_PASSWORD')"
    )


# ── a file of its own ──────────────────────────────────────────────────────────────────────────


def by_file(path: str) -> dict[str, str]:
    return {"PHYSIONET_USERNAME": "env", "PHYSIONET_PASSWORD_FILE": path}


LINE_ENDS = {
    "hush": "hush",
    "hush\n": "hush",
    "hush\r\n": "hush",
    "hush\r": "hush",
    "  grüße # \n": "  grüße # ",
    "hush\n\n": "hush\n",  # one is `echo`'s, another belongs to the password
    "hush\r\n\r\n": "hush\r\n",
    "hush\n\r": "hush\n",
}


@pytest.mark.parametrize(("text", "password"), LINE_ENDS.items(), ids=map(repr, LINE_ENDS))
def test_one_line_end_is_no_part_of_a_password(tmp_path: Path, text: str, password: str) -> None:
    found = find(HOST, None, by_file(private(tmp_path / "pw", text)))
    assert found == Credentials("env", password, "PHYSIONET_PASSWORD_FILE")
    assert find(HOST, "env", {"PHYSIONET_PASSWORD": text}).password == password
    assert bool(found.warnings) == (password.strip() != password)


def test_a_password_wins_over_its_file(tmp_path: Path) -> None:
    assert find(HOST, None, {**by_file(str(tmp_path / "none")), **ENVIRON}).password == "from-env"


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    assert "PHYSIONET_PASSWORD_FILE" in str(refused(by_file(str(tmp_path / "none"))))
    assert "PHYSIONET_PASSWORD_FILE" in str(refused(by_file(str(tmp_path))))


def test_a_password_file_in_another_encoding_is_not_quoted(tmp_path: Path) -> None:
    error = refused(by_file(private(tmp_path / "pw", "hüsh".encode("latin-1"))))
    assert "UTF-8" in str(error)
    for part in ("0xfc", "position", "sh'"):
        assert part not in words(error)


@pytest.fixture
def shared_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the group of every file have members that are not its owner."""
    monkeypatch.setattr("cxrsync.config.secret_file._group", lambda _number: Group("staff"))


@pytest.mark.usefixtures("shared_group")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
@pytest.mark.parametrize("name", ["PHYSIONET_PASSWORD_FILE", "NETRC"])
def test_what_others_can_read_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    path = private(tmp_path / "secret", NETRC, mode)
    error = refused({"PHYSIONET_USERNAME": "net", name: path})
    assert "can be read by other users" in str(error)
    assert error.next_step == f"chmod 600 {path}"
    assert "from-netrc" not in words(error)
    assert stat.S_IMODE(Path(path).stat().st_mode) == mode


@pytest.mark.parametrize("content", ["hush", "hush\n"])
def test_a_password_from_a_pipe(tmp_path: Path, content: str) -> None:
    """As <(pass show physionet); several jobs of one run ask for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    writer = threading.Thread(target=pipe.write_text, args=(content,))
    writer.start()
    for _job in range(2):
        found = find(HOST, None, by_file(str(pipe)))
        assert (found.password, found.warnings) == ("hush", ())
    writer.join()


def test_a_password_of_a_terminal_is_not_waited_for() -> None:
    ours, theirs = os.openpty()
    try:
        assert "is a terminal" in str(refused(by_file(os.ttyname(theirs))))
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("content", "password", "warning"),
    [
        ("hush", "hush", ""),
        ("\ufeffhush\n", "hush", "byte order mark"),
        ("hush \n", "hush ", "blank"),
        ("\thush", "\thush", "blank"),
        ("hush\nmore\n", "hush\nmore", "more than one line"),
        ("hush".encode("utf-16"), None, "UTF-16"),
        ("\n", None, "empty"),
        ("\ufeff", None, "empty"),
        ("x" * 5000, None, "4,096"),
    ],
)
def test_what_cannot_be_seen_in_a_password_file(
    tmp_path: Path, content: str | bytes, password: str | None, warning: str
) -> None:
    environ = by_file(private(tmp_path / "pw", content))
    if password is None:
        assert warning in str(refused(environ))
        return
    found = find(HOST, None, environ)
    assert found.password == password
    assert len(found.warnings) == bool(warning)
    assert all(warning in each and "hush" not in each for each in found.warnings)


def test_a_secret_that_echo_has_made() -> None:
    """As of Kubernetes, whose values end as the file that they were made from."""
    found = find(HOST, None, {name: f"{value}\n" for name, value in ENVIRON.items()})
    assert found == Credentials("env", "from-env", "PHYSIONET_PASSWORD")


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_what_only_we_can_read_is_taken(tmp_path: Path, mode: int) -> None:
    assert find(HOST, None, {"NETRC": private(tmp_path / "n", NETRC, mode)}).username == "net"


@pytest.mark.usefixtures("shared_group")
def test_a_credential_of_systemd_may_show_the_mask_of_its_access_control_list(
    tmp_path: Path,
) -> None:
    # systemd 254 and later, with User=: https://github.com/systemd/systemd/issues/29435
    folder = tmp_path / "cxrsync.service"
    folder.mkdir()
    environ = by_file(private(folder / "physionet", "hush", 0o440))
    assert "can be read by other users" in str(refused(environ))
    assert "other users" in str(refused({**environ, "CREDENTIALS_DIRECTORY": str(tmp_path)}))
    environ["CREDENTIALS_DIRECTORY"] = str(folder)
    assert find(HOST, None, environ).password == "hush"
    private(folder / "physionet", "hush", 0o444)
    assert "can be read by other users" in str(refused(environ))


# ── netrc ──────────────────────────────────────────────────────────────────────────────────────


def test_the_netrc_variable_wins_over_home(tmp_path: Path, home: dict[str, str]) -> None:
    other = private(tmp_path / "other", NETRC.replace("login net", "login other"))
    assert find(HOST, None, {**home, "NETRC": other}).username == "other"
    assert find(HOST, None, {**home, "NETRC": str(tmp_path / "none")}, ask).found_in == HOST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "machine example.org login a password b\n",
        f"machine {HOST} login net\n",
        f"machine {HOST} password from-netrc\n",
        f"machine {HOST} login '' password ''\n".replace("'", '"'),
    ],
)
def test_a_netrc_without_an_entry_for_us(tmp_path: Path, text: str) -> None:
    assert find(HOST, None, {"NETRC": private(tmp_path / "n", text)}, ask).found_in == HOST


@pytest.mark.parametrize(
    "text",
    [
        f"machine {HOST} login net passwrd hush\n",
        f"machine {HOST} login net password\nhush hush\nhush\n",
        f"machine {HOST} login net password",
        f"machine {HOST} login",
    ],
)
def test_a_netrc_that_cannot_be_read_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = private(tmp_path / "n", text)
    error = refused({"NETRC": path})
    assert f"cannot read {path}" in str(error)
    assert ": line " in str(error)
    assert "hush" not in words(error)
    assert "passwrd" not in words(error)


@pytest.mark.parametrize(
    "others",
    [
        "machine a.test login me password hush hush\n",
        "machine a.test login me passwrd hush\n",
        "machine a.test port 21 login me password hush\n",
        "macdef init\nmachine of a macro\n\n",
        "# a comment with machine and password\n",
        b"machine a.test login me password h\xfcsh\n",
        "machine a.test login me password machine\n",
        'machine a.test login me password "a b"\n',
        "machine a.test login me password #hush\n",
    ],
)
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_entries_of_others_never_stop_us(tmp_path: Path, others: str | bytes, first: bool) -> None:
    raw = others if isinstance(others, bytes) else others.encode()
    text = raw + NETRC.encode() if first else NETRC.encode() + raw
    found = find(HOST, None, {"NETRC": private(tmp_path / "n", text)})
    assert (found.username, found.password) == ("net", "from-netrc")


@pytest.mark.parametrize("before", ["hush\n", "login hush\n"])
def test_words_before_any_entry_never_stop_us(tmp_path: Path, before: str) -> None:
    path = private(tmp_path / "n", before + NETRC)
    assert find(HOST, None, {"NETRC": path}).password == "from-netrc"


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("default login net password any", "any"),
        (f"{NETRC}default login net password any", "from-netrc"),
        (f"default login net password any\n{NETRC}", "from-netrc"),
        (f"machine {HOST.upper()} login net password p", "p"),
        (f"machine {HOST} user net password p", "p"),
        (f"machine {HOST}\n\tlogin net\n\tpassword p\n", "p"),
        (f'machine {HOST} login net password "a \\"b\\" c"', 'a "b" c'),
        (f"machine {HOST} login net password a\\ b", "a b"),
        (f"machine {HOST} login net password #p", "#p"),
        (f"machine {HOST} login net account x password p # mine", "p"),
        (f"machine {HOST} login other password o\n{NETRC}", "from-netrc"),
        (f"\ufeff{NETRC}", "from-netrc"),
        (NETRC.replace("\n", "\r\n"), "from-netrc"),
    ],
)
def test_ways_to_write_an_entry(tmp_path: Path, text: str, password: str) -> None:
    found = find(HOST, "net", {"NETRC": private(tmp_path / "n", text)})
    assert (found.username, found.password) == ("net", password)


def test_the_entry_default_is_named_as_the_place(tmp_path: Path) -> None:
    path = private(tmp_path / "n", "default login net password any")
    assert find("mirror.test", None, {"NETRC": path}).found_in == f"{path} (default)"


def test_what_is_wrong_in_a_netrc_without_an_entry_for_us_is_told_at_the_end(
    tmp_path: Path,
) -> None:
    """Perhaps it is the entry that was meant."""
    text = f"machine a.test login b password c\nmachin {HOST} login net password hush\n"
    environ = {"NETRC": private(tmp_path / "n", text)}
    assert find(HOST, None, environ, ask).found_in == HOST
    error = refused(environ, "me", nobody)
    assert f"{tmp_path}/n, line 2: an unknown word" in str(error)
    assert "hush" not in words(error)
    assert f"'machine {HOST} login me password PASSWORD'" in error.next_step


def test_a_usual_netrc_that_we_may_not_read_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private(tmp_path / ".netrc", NETRC)

    def forbidden(*_args: object, **_named: object) -> str:
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr(Path, "read_text", forbidden)
    assert find(HOST, None, {"HOME": str(tmp_path)}, ask).found_in == HOST
    assert "Permission denied" in str(refused({"HOME": str(tmp_path)}, None, nobody))
    assert "Permission denied" in str(refused({"NETRC": f"{tmp_path}/.netrc"}))


def test_a_folder_is_no_netrc(tmp_path: Path) -> None:
    assert find(HOST, None, {"NETRC": str(tmp_path)}, ask).found_in == HOST


# ── keyring ────────────────────────────────────────────────────────────────────────────────────


def broken(*_args: object) -> None:
    raise RuntimeError("no D-Bus: hush")


@pytest.mark.parametrize(
    "fake",
    [
        SimpleNamespace(),
        SimpleNamespace(get_credential=broken),
        SimpleNamespace(get_credential=lambda _service, _user: None),
        SimpleNamespace(
            get_credential=lambda _service, _user: SimpleNamespace(username="a", password="")
        ),
        SimpleNamespace(
            get_credential=lambda _service, _user: SimpleNamespace(username="a", password=None)
        ),
    ],
)
def test_a_keyring_that_gives_nothing(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch, fake: object
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", fake)  # type: ignore[arg-type]
    assert find(HOST, None, home).username == "net"


def test_a_keyring_may_know_another_user_only(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = SimpleNamespace(username="other", password="p")
    fake = SimpleNamespace(get_credential=lambda _service, _user: other)
    monkeypatch.setitem(sys.modules, "keyring", fake)  # type: ignore[arg-type]
    assert find(HOST, "net", home).password == "from-netrc"


# ── whose the environment's are ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("host", "port", "named"),
    [
        ("physionet.org", 443, None),
        ("www.physionet.org", 443, None),
        ("PhysioNet.org.", 443, None),
        ("127.0.0.1", 8443, None),
        ("::1", 8443, None),
        ("localhost", 8443, None),
        ("mirror.test", 443, "mirror.test"),
        ("mirror.test", 8443, "mirror.test"),
        ("mirror.test", 8443, "mirror.test:8443"),
        ("mirror.test", 443, "Mirror.Test.:443"),
        ("mirror.test", 443, " mirror.test "),
        ("2001:db8::1", 443, "2001:db8::1"),
        ("2001:db8::1", 443, "[2001:db8::1]"),
        ("2001:db8::1", 8443, "[2001:db8::1]:8443"),
        ("physionet.org", 443, "mirror.test"),
    ],
)
def test_a_host_that_may_have_the_environment_s(host: str, port: int, named: str | None) -> None:
    environ = ENVIRON if named is None else {**ENVIRON, "PHYSIONET_HOST": named}
    assert find(host, None, environ, port=port).password == "from-env"


@pytest.mark.parametrize(
    ("host", "port", "named"),
    [
        ("mirror.test", 443, None),
        ("mirror.test", 443, ""),
        ("mirror.test", 443, "other.test"),
        ("mirror.test", 443, "mirror.test:8443"),
        ("mirror.test", 443, "http://mirror.test"),
        ("mirror.test", 443, "test"),
        ("a.mirror.test", 443, "mirror.test"),
        ("mirror.test", 443, "*"),
        ("mirror.test", 443, "mirror.test:"),
        ("mirror.test", 443, "mirror.test:x"),
        ("physionet.org.evil.test", 443, None),
        ("evil-physionet.org", 443, None),
        ("files.physionet.org", 443, None),
        ("physionet.org@evil.test", 443, None),
        ("10.0.0.1", 443, None),
        ("", 443, None),
    ],
)
@pytest.mark.parametrize("by_a_file", [False, True])
def test_any_other_does_not_get_them(
    host: str, port: int, named: str | None, by_a_file: bool, tmp_path: Path
) -> None:
    """Nor is their file opened for it; what is bound to a host is looked at all the same."""
    environ = by_file(str(tmp_path / "none")) if by_a_file else dict(ENVIRON)
    if named is not None:
        environ["PHYSIONET_HOST"] = named
    with pytest.raises(CredentialsRefused) as refused:
        find(host, None, environ, port=port)
    assert "is for physionet.org" in str(refused.value)
    assert f"PHYSIONET_HOST={host}" in refused.value.next_step
    assert "from-env" not in words(refused.value)
    assert find(host, None, environ, ask, port=port).username == "asked for None"


def test_what_is_bound_to_a_host_is_taken_there(
    tmp_path: Path, keyring: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the name that it has there, not the environment's."""
    path = private(tmp_path / "n", NETRC.replace(HOST, "mirror.test"))
    environ = {**ENVIRON, "NETRC": path}
    assert find("mirror.test", None, environ).username == "ring"
    assert keyring == [("cxrsync:mirror.test", None)]
    monkeypatch.setitem(sys.modules, "keyring", None)  # type: ignore[arg-type]
    assert find("mirror.test", None, environ).username == "net"
    assert find("mirror.test", "me", environ, ask).username == "asked for me"


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}])
def test_without_home_the_system_knows_where_netrc_is(
    monkeypatch: pytest.MonkeyPatch, home: dict[str, str], environ: dict[str, str]
) -> None:
    """A service of systemd has no HOME, and ~ is the user's home there for every other path."""
    monkeypatch.setattr(credentials, "home_of_user", lambda: home["HOME"])
    assert find(HOST, None, environ).password == "from-netrc"
    assert netrc_path(environ) == Path(home["HOME"], ".netrc")
