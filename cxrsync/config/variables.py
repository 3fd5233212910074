"""The variables ``CXRSYNC_…`` of the environment: each belongs to an option.

An unknown variable is an error, as an unknown option is: a user who sets ``CXRSYNC_SUBJEKT`` wants
one patient, not the whole version. An empty variable is an error, too, also for a flag:
``CXRSYNC_METADATA_ONLY=`` comes from an unset variable of a script, and must not fetch 4.7 TB.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from cxrsync.catalog.dataset_info import OWN_CATALOGUE
from cxrsync.config.option import VARIABLE_PREFIX, Option, Type, nearest
from cxrsync.config.option_table import OPTIONS
from cxrsync.config.option_value import check_value, parse_text
from cxrsync.errors import UsageError

# Set by whoever runs a task, as a worker of Dask: see storage/batch_job.
JOB_VARIABLE = "CXRSYNC_JOB"
# Variables without an option: the user's catalogue, and the environment that scripts/ make. Those
# with the result of a mirror are set where a hook runs, which may run cxrsync itself.
_OTHERS = frozenset({OWN_CATALOGUE, JOB_VARIABLE, "CXRSYNC_VENV"})
_OF_HOOKS = f"{VARIABLE_PREFIX}RESULT_"
_MAX_NAMED = 5


def refuse_unknown_variables(environ: Mapping[str, str] = os.environ) -> None:
    """Raise UsageError if a variable ``CXRSYNC_…`` belongs to no option; name similar ones."""
    known = _OTHERS.union(option.variable for option in OPTIONS)
    given = {name for name in environ if name.startswith(VARIABLE_PREFIX)}
    left = sorted(name for name in given - known if not name.startswith(_OF_HOOKS))
    if not left:
        return
    named = ", ".join(left[:_MAX_NAMED]) + (" and more" if len(left) > _MAX_NAMED else "")
    near = [option.variable for option in nearest(left[0].removeprefix(VARIABLE_PREFIX), OPTIONS)]
    raise UsageError(
        f"unknown variable{'s' if len(left) > 1 else ''} {named}",
        next_step=(f"Did you mean {' or '.join(near)}? " if near else "")
        + f"A variable {VARIABLE_PREFIX}… must name an option: correct or unset it.",
    )


def refuse_empty(option: Option, text: str) -> None:
    """Raise UsageError if the variable of an option is set, but empty."""
    if text.strip():
        return
    raise UsageError(
        f"the variable {option.variable} is set, but empty",
        next_step="Set it to 1 or 0, or unset it."
        if option.type is Type.FLAG
        else "Set it to a value, or unset it: an empty value does not select everything.",
    )


def options_from(
    options: Iterable[Option], environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Return the values of the options whose variables are set, by name.

    The values of a repeatable option stand one a line. Raises UsageError, which names the variable.
    """
    found: dict[str, Any] = {}
    for option in options:
        text = environ.get(option.variable)
        if text is None:
            continue
        refuse_empty(option, text)
        if option.repeatable:
            lines = [line for line in text.splitlines() if line.strip()]
            found[option.name] = check_value(option, lines, option.variable)
        else:
            found[option.name] = parse_text(option, text, option.variable)
    return found
