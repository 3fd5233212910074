"""One option: its name in every interface, its type, its default and its help text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

VARIABLE_PREFIX = "CXRSYNC_"


class Type(Enum):
    """What values an option takes."""

    FLAG = "flag"
    INT = "int"
    SECONDS = "seconds"
    RATE = "rate"
    PATH = "path"
    CHOICE = "choice"
    TEXT = "text"
    IDS = "ids"  # texts; whole numbers, too


class Group(Enum):
    """What an option is about."""

    DATASET = "Dataset"
    SELECTION = "Selection"
    DESTINATION = "Destination"
    TRANSFER = "Transfer"
    SOURCE = "Source"
    PULL = "Pull"
    COMMAND = "Command"
    OUTPUT = "Output"
    PROGRAM = "Program"


# The groups whose options make a job: in Python and in job files, too.
JOB_GROUPS = frozenset(Group) - {Group.COMMAND, Group.OUTPUT, Group.PROGRAM}


@dataclass(frozen=True, slots=True)
class Option:
    """One option, as the command line, the environment, Python and job files have it.

    ``words``: the values of a CHOICE, or what else than a number an INT or a RATE may be.
    ``at_least``, ``above``, ``at_most``: bounds of a number. ``near``: what people type for it in
    other programs, separated by blanks. ``example``: a value, for error messages. ``advanced``: not
    for everyday use. ``flag`` is the name on the command line, where it does not follow from
    ``name``. ``{default}`` in ``help`` stands for the default.
    """

    name: str
    type: Type
    group: Group
    help: str = ""
    metavar: str = ""
    default: Any = None
    words: tuple[str, ...] = ()
    repeatable: bool = False
    advanced: bool = False
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    near: str = ""
    example: str = ""
    hint: str = ""
    flag: str = ""
    short: str = ""

    @property
    def typed(self) -> str:
        """The option as it is typed on the command line."""
        return self.flag or "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """The option's key in a job file."""
        return self.typed.removeprefix("--").replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable of the option: no command in its name."""
        return VARIABLE_PREFIX + self.key.upper()

    @property
    def is_of_job(self) -> bool:
        """Whether a job has it, so that Python and job files take it."""
        return self.group in JOB_GROUPS

    @property
    def help_text(self) -> str:
        """The help text with the default in it."""
        default = self.default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        return self.help.replace("{default}", shown)

    @property
    def form(self) -> str:
        """What a value has to be, as a phrase for error messages."""
        if self.type is Type.CHOICE:
            return either(self.words)
        phrase = _FORMS[self.type]
        if self.at_least is not None and self.at_most is not None:
            phrase += f" from {self.at_least:g} to {self.at_most:g}"
        elif self.at_least is not None:
            phrase += f" of at least {self.at_least:g}"
        elif self.above is not None:
            phrase += f" above {self.above:g}"
        return either((*self.words, phrase))


_FORMS = {
    Type.FLAG: "true or false",
    Type.INT: "a whole number",
    Type.SECONDS: "a number of seconds",
    Type.RATE: "a rate",
    Type.PATH: "a path",
    Type.TEXT: "text",
    Type.IDS: "an id",
}


def either(words: tuple[str, ...]) -> str:
    """``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def called(word: str, among: Iterable[Option]) -> list[Option]:
    """The options of that name, the one that other programs give them included."""
    bare = word.strip().lstrip("-").replace("-", "_")
    folded = bare if len(bare) == 1 else bare.casefold()
    return [
        option
        for option in among
        if folded in [option.key, option.name, *option.short[1:], *option.near.split()]
    ]


def nearest(word: str, among: Iterable[Option]) -> list[Option]:
    """The options that a word which names none may stand for, best first; [] if none is near.

    What other programs call an option comes first, then what is spelled alike.
    """
    import difflib  # only where something is wrong

    options = list(among)
    if exact := called(word, options):
        return exact
    bare = word.strip().lstrip("-").replace("-", "_").casefold()
    names = {name: option for option in options for name in (option.name, option.key)}
    near = {name: option for option in options for name in option.near.split() if len(name) > 2}
    for owners in (names, near):
        if close := difflib.get_close_matches(bare, owners, n=3, cutoff=0.6):
            return list(dict.fromkeys(owners[name] for name in close))
    return []
