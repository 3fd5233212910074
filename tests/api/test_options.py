"""The keywords have the types of the option table, for editors and type checkers."""

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, SupportsIndex, get_type_hints

import pytest

from cxrsync.api.options import (
    Id,
    Labels,
    ListOptions,
    PullOptions,
    StatusOptions,
    StreamOptions,
    VerifyOptions,
)
from cxrsync.config.option import Group, Option, Type
from cxrsync.config.option_table import BY_NAME, JOB_OPTIONS, options_of

TREE = {each.name for each in options_of(Group.DATASET, Group.SELECTION)} | {"dest"}
SOURCE = {each.name for each in options_of(Group.SOURCE)} | {"allow_synced"}
TRANSFER = {each.name for each in options_of(Group.TRANSFER)}
# No limits of the run: whoever wants no more leaves the loop.
OF_STREAMS = {"connections", "retries", "connect_timeout", "stall_timeout", "give_up_after",
              "wait_lock", "limit_rate", "keep_free", "no_fsync", "only_partition"}  # fmt: skip
OF_VERIFY = {"all", "repair", "acknowledge", "only_partition"}


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (PullOptions, {each.name for each in JOB_OPTIONS}),
        (ListOptions, TREE | SOURCE),
        (StatusOptions, TREE | {"base_url", "all"}),
        (StreamOptions, TREE | SOURCE | OF_STREAMS),
        (VerifyOptions, TREE | SOURCE | TRANSFER | OF_VERIFY),
    ],
)
def test_the_keywords_are_the_options(typed: Any, names: set[str]) -> None:
    assert typed.__optional_keys__ == names
    assert typed.__required_keys__ == set()


TYPES: dict[Type, Any] = {
    Type.FLAG: bool,
    Type.INT: SupportsIndex,
    Type.RATE: str | float | Mapping[str, str | float],
    Type.SIZE: str | float,
    Type.DURATION: str | float | timedelta,
    Type.SHARE: str | SupportsIndex,
    Type.WINDOW: str,
    Type.PATH: str | os.PathLike[str],
    Type.PLACE: str | os.PathLike[str],
    Type.TEXT: str,
    Type.PERMISSIONS: str | Mapping[str, str],
    Type.IDS: Id,
    Type.SHARD: Id,
}


def expected(option: Option) -> Any:
    """The type of an option, as the table has it."""
    if option.name == "label":
        return Labels | None
    if option.type is Type.CHOICE:
        return Literal[option.words] | None
    one = TYPES[option.type]
    if option.words and option.type is Type.INT:
        one = one | Literal[option.words]
    return one | Iterable[one] | None if option.repeatable else one | None


@pytest.mark.parametrize("name", sorted(PullOptions.__optional_keys__ | {"all", "repair"}))
def test_the_types_are_those_of_the_table(name: str) -> None:
    hints = get_type_hints(PullOptions) | get_type_hints(VerifyOptions)
    assert hints[name] == expected(BY_NAME[name])
    assert get_type_hints(StreamOptions).get(name, hints[name]) == hints[name]
