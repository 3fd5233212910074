"""The values of a job file: variables are replaced, traps of YAML and secrets are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cxrsync.catalog.yaml_document import ValuePath, YamlDocument
from cxrsync.config.option import Option, Type
from cxrsync.config.option_value import check_value, parse_text
from cxrsync.errors import UsageError

_VARIABLE = re.compile(r"\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SECRET = re.compile(
    r"pass|.*(?:password|passwd|passphrase).*|(?:.*_)?(?:secret|token|api_key|apikey)"
)
_WHERE_IT_BELONGS = (
    "Everyone who reads or copies the file would have it. Put it into a file that only you can "
    "read (chmod 600) and set PHYSIONET_USERNAME and PHYSIONET_PASSWORD_FILE, or use ~/.netrc."
)
# A variable or a file: whoever reads the job file must not learn the address.
PING_FORM = re.compile(r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|@.+)$", re.ASCII)
# Options whose values may be @FILE.
LISTED = frozenset({"subject", "study", "image", "include", "exclude"})
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_TEXTS = frozenset(
    {
        *(Type.TEXT, Type.IDS, Type.SHARD, Type.HOOK, Type.PING, Type.PATH, Type.CHOICE),
        *(Type.PLACE, Type.WINDOW, Type.RATE, Type.PERMISSIONS),
    }
)


@dataclass(frozen=True, slots=True)
class Value:
    """A checked value, its option, and where the file has it."""

    option: Option
    path: ValuePath
    value: Any


def is_secret(name: str) -> bool:
    """Return whether the value of a key, or of a variable, of this name is a secret."""
    return _SECRET.fullmatch(name.casefold().replace("-", "_")) is not None


def secret_error(document: YamlDocument, path: ValuePath) -> UsageError:
    """Return the error for a secret at ``path``; it does not contain the secret."""
    return document.error(path, "a password does not belong in a job file", _WHERE_IT_BELONGS)


def checked_value(
    document: YamlDocument,
    path: ValuePath,
    option: Option,
    raw: Any,
    environ: Mapping[str, str],
) -> Any:
    """Return the value at ``path`` in the type of its option, with variables replaced.

    Raises UsageError, with line and column.
    """
    if raw is None:
        text = document.texts.get(path)
        step = (
            f'Write "{text}", in quotes.' if text == "~" else "Give a value, or leave the key out."
        )
        raise document.error(path, "is empty", step)
    _refuse_traps(document, path, option)
    _refuse_address(document, path, option, raw)
    value = _expanded(document, path, raw, environ)
    if _names_standard_input(option, value):
        raise document.error(path, "@- reads standard input, which a mirror does not have")
    try:
        if isinstance(value, str) and value != raw:
            # A variable holds text only, as it does for the command line.
            value = parse_text(option, value, option.key)
        return check_value(option, value, option.key)
    except UsageError as problem:
        # The path names the key already.
        text = str(problem).removeprefix(option.key).lstrip(": ")
        raise document.error(path, text, problem.next_step or None) from None


def _refuse_traps(document: YamlDocument, path: ValuePath, option: Option) -> None:
    """Raise UsageError where text is meant, but YAML reads a number or a truth value."""
    if option.type not in _TEXTS:
        return
    for where, text in document.texts.items():
        if where[: len(path)] != path or not text:
            continue
        value = _at(document.value, where)
        if value is None:
            continue
        is_rate = option.type is Type.RATE and not isinstance(value, bool)
        is_id = option.type in {Type.IDS, Type.SHARD} and type(value) is int
        if is_rate or is_id:
            continue
        kind = "true or false" if isinstance(value, bool) else "a number"
        raise document.error(
            where,
            f"YAML reads {text} without quotes as {kind}, and text is needed here",
            f'Write "{text}", in quotes.',
        )


def _refuse_address(document: YamlDocument, path: ValuePath, option: Option, raw: Any) -> None:
    """Raise UsageError, which does not quote it, where the file itself holds a secret address."""
    if option.type is Type.PING and isinstance(raw, str) and not PING_FORM.fullmatch(raw):
        raise document.error(
            path,
            "this address is a secret, and does not belong in a job file",
            "Write ${PING_URL} and set that variable, or @/path/of/a/file that holds the address.",
        )
    words = raw if isinstance(raw, list) else [raw]
    if option.type is Type.HOOK and any(_ADDRESS.search(str(word)) for word in words):
        raise document.error(
            path,
            "an address in a hook is often a secret, and does not belong in a job file",
            "Put the command into a script that only you can read, and name the script here.",
        )


def _at(value: Any, path: ValuePath) -> Any:
    for step in path:
        value = value[step]
    return value


def _names_standard_input(option: Option, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return option.name in LISTED and "@-" in values


def _expanded(
    document: YamlDocument, path: ValuePath, value: Any, environ: Mapping[str, str]
) -> Any:
    """Return ``value`` with every ``${NAME}`` replaced by that variable of the environment."""
    if isinstance(value, str):
        return "".join(_parts(document, path, value, environ))
    if isinstance(value, list):
        return [_expanded(document, (*path, at), each, environ) for at, each in enumerate(value)]
    if isinstance(value, dict):
        return {
            key: _expanded(document, (*path, key), each, environ) for key, each in value.items()
        }
    return value


def _parts(
    document: YamlDocument, path: ValuePath, text: str, environ: Mapping[str, str]
) -> Iterator[str]:
    end = 0
    for match in _VARIABLE.finditer(text):
        yield text[end : match.start()]
        end = match.end()
        name = match[1]
        if not match[0].endswith("}") or not _NAME.fullmatch(name):
            raise document.error(
                path, "${ begins the name of a variable, and } ends it", "Write ${NAME}."
            )
        if is_secret(name):
            raise secret_error(document, path)
        if name not in environ:
            raise document.error(
                path,
                f"the variable {name} is not set",
                "cron and systemd set few variables: set it there, or write the value here.",
            )
        if not environ[name].strip():
            raise document.error(path, f"the variable {name} is empty", "Set it to a value.")
        yield environ[name]
    yield text[end:]
