"""How much the property tests and the large tables of simulations try: in the suite, and in
``scripts/acceptance search``, which has the time (``--hypothesis-profile search``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import settings

Case = TypeVar("Case")
# pytest has loaded its profile before it imports a test.
IS_THOROUGH = settings.get_current_profile_name() == "search"
_FEW = 20


def examples(usual: int) -> int:
    """How many examples of a property are tried, of which ``usual`` say enough for a change of the
    code itself: many times as many when there is time, a fifth in each run of the suite."""
    return 5 * usual if IS_THOROUGH else max(min(usual, _FEW), usual // 5)


def spread(cases: Sequence[Case], step: int) -> list[Case]:
    """Every ``step``-th case of a table, the first among them; all if there is time. ``step`` has
    no common divisor with the table's columns, so that each value of each column is tried."""
    return list(cases) if IS_THOROUGH else list(cases[::step])
