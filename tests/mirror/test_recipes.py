"""The hook scripts of docs/nightly.md, as they stand there, against stand-ins on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mirror.smtp_sink import smtp_sink
from mirror.test_hooks import RESULT
from sources.http.ping_service import Check, served

from cxrsync.errors import ExitCode
from cxrsync.mirror.hooks import HookResult, run_after

DOCS = Path(__file__).parents[2] / "docs/nightly.md"
SCRIPTS = re.findall(
    r"^```sh\n(#!/bin/sh\n# (\w+)\..*?)^```$", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL
)
RECIPES = {name.lower(): text for text, name in SCRIPTS}
GOOD = replace(RESULT, exit_code=0)

# What `mail` hands a mail to. A person has Postfix or Exim there.
SENDMAIL = """#!{python}
import email, smtplib, sys
mail = sys.stdin.buffer.read()
to = [each for each in sys.argv[1:] if "@" in each] or [email.message_from_bytes(mail)["To"]]
with smtplib.SMTP("127.0.0.1", {port}) as server:
    server.sendmail("mirror@example.org", to, mail)
"""
# Where no `mail` is installed.
MAIL = """#!/bin/sh
[ "$1" = -s ] || exit 64
{{ printf 'Subject: %s\\n\\n' "$2"; cat; }} | {sendmail} "$3"
"""


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o700)
    return path


async def run(folder: Path, name: str, result: object, **environ: str) -> tuple[HookResult, str]:
    """Run a recipe; its files are below ``folder`` instead of /etc. Return what it printed."""
    script = executable(folder / name, RECIPES[name].replace("/etc/cxrsync/", f"{folder}/"))
    lines: list[str] = []
    environment = {"PATH": os.environ["PATH"], **environ}
    ended = await run_after((str(script),), result, lines.append, environ=environment)  # type: ignore[arg-type]
    return ended, "\n".join(lines)


def test_all_recipes_are_here() -> None:
    assert set(RECIPES) == {"mail", "slack", "ntfy"}


async def test_mail(tmp_path: Path) -> None:
    with smtp_sink() as sink:
        text = SENDMAIL.format(python=sys.executable, port=sink.port)
        sendmail = executable(tmp_path / "sendmail", text)
        settings = tmp_path / "mailrc"
        settings.write_text(f"set sendmail={sendmail}\n")
        path = os.environ["PATH"]
        if shutil.which("mail") is None:
            (tmp_path / "bin").mkdir()
            executable(tmp_path / "bin/mail", MAIL.format(sendmail=sendmail))
            path = f"{tmp_path}/bin:{path}"
        environ = {"PATH": path, "MAILRC": str(settings), "HOME": str(tmp_path)}
        assert await run(tmp_path, "mail", GOOD, **environ) == (HookResult(0), "")
        assert sink.mails == []
        assert await run(tmp_path, "mail", RESULT, **environ) == (HookResult(0), "")
    [(to, mail)] = sink.mails
    assert to == ["me@example.org"]
    head, _, body = mail.partition("\n\n")
    assert "Subject: mirror: some files failed" in head
    assert body.split("\n")[:2] == ["exit code 5", "missing 2, failed 1"]


@pytest.mark.parametrize("name", ["slack", "ntfy"])
async def test_an_address_that_is_a_secret(tmp_path: Path, name: str) -> None:
    """It is in a file, which curl reads. No argument, and no line of the log, contains it."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with served(Check(statuses=[200, 500])) as check:
        address = f"http://127.0.0.1:{check.port}/secret-path"
        (tmp_path / f"{name}.curl").write_text(f'url = "{address}"\n')
        assert await run(tmp_path, name, GOOD) == (HookResult(0), "")
        assert check.requests == []
        ended, said = await run(tmp_path, name, RESULT)
        assert ended == HookResult(0)
        assert said in {"", "after: ok"}
        failed, said = await run(tmp_path, name, RESULT)
        assert failed.exit_code == 22  # of curl: the server refused
        assert "secret-path" not in said
    [(method, path, body, headers), _again] = check.requests
    assert (method, path) == ("POST", "/secret-path")
    if name == "slack":
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body) == {"text": "mirror: some files failed (exit code 5)"}
    else:
        assert headers["Title"] == "mirror"
        assert body == "some files failed"
    assert "secret-path" not in RECIPES[name]


@pytest.mark.parametrize("code", ExitCode)
def test_no_sentence_breaks_a_recipe(code: ExitCode) -> None:
    """JSON is made by printf, and curl reads a file where data begins with @."""
    sentence = replace(RESULT, exit_code=int(code)).sentence
    assert json.loads(f'"{sentence}"') == sentence
    assert sentence[0].isalnum()
