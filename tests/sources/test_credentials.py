"""Where a password is looked for, in which order, and that no error ever quotes one."""

import stat
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxrsync.errors import CredentialsRefused
from cxrsync.sources.credentials import Credentials, find

HOST = "physionet.org"
NETRC = f"machine {HOST} login net password from-netrc\n"
ENVIRON = {"PHYSIONET_USERNAME": "env", "PHYSIONET_PASSWORD": "from-env"}


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)  # type: ignore[arg-type]


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

    fake = SimpleNamespace(get_credential=get_credential)
    monkeypatch.setitem(sys.modules, "keyring", fake)  # type: ignore[arg-type]
    return asked


def ask(host: str, user: str | None) -> Credentials:
    return Credentials(f"asked for {user}", "from-a-person", host)


def refused(environ: dict[str, str], user: str | None = None) -> CredentialsRefused:
    with pytest.raises(CredentialsRefused) as error:
        find(HOST, user, environ, lambda *_who: pytest.fail("asked all the same"))
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


@pytest.mark.parametrize("text", ["hush", "hush\n", "hush\r\n", "  grüße # \n"])
def test_a_password_file(tmp_path: Path, text: str) -> None:
    found = find(HOST, None, by_file(private(tmp_path / "pw", text)))
    assert found == Credentials("env", text.rstrip("\r\n"), "PHYSIONET_PASSWORD_FILE")


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


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
@pytest.mark.parametrize("name", ["PHYSIONET_PASSWORD_FILE", "NETRC"])
def test_what_others_can_read_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    path = private(tmp_path / "secret", NETRC, mode)
    error = refused({"PHYSIONET_USERNAME": "net", name: path})
    assert "can be read by other users" in str(error)
    assert error.next_step == f"chmod 600 {path}"
    assert "from-netrc" not in words(error)
    assert stat.S_IMODE(Path(path).stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_what_only_we_can_read_is_taken(tmp_path: Path, mode: int) -> None:
    assert find(HOST, None, {"NETRC": private(tmp_path / "n", NETRC, mode)}).username == "net"


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
        # A password goes to the machine that it is for.
        "default login anyone password anything\n",
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
        f"hush\n{NETRC}",
    ],
)
def test_a_netrc_that_cannot_be_read_is_not_quoted(tmp_path: Path, text: str) -> None:
    path = private(tmp_path / "n", text)
    error = refused({"NETRC": path})
    assert f"cannot read {path}" in str(error)
    assert ": line " in str(error)
    assert "hush" not in words(error)
    assert "passwrd" not in words(error)


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
