"""The exit code of a run: of all codes that apply, the first in one list counts."""

import asyncio
import errno
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from cxrsync.errors import (
    AccessDenied,
    CxrsyncError,
    DiskError,
    ExitCode,
    Locked,
    UsageError,
    unwrap,
    unwrapped,
    worst_of,
)
from cxrsync.operations.exit_status import Ending, exit_status, machine_error

many = settings(max_examples=examples(300))

# The order in the README: the first code that applies counts.
FIRST_THAT_APPLIES = [130, 143, 1, 2, 3, 4, 11, 7, 10, 8, 6, 5, 9, 0]

requested = st.sampled_from([None, ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.LIMIT])
counts = st.integers(0, 3)
endings = st.builds(
    Ending,
    requested=requested,
    errors=st.lists(st.sampled_from(ExitCode), max_size=4).map(tuple),
    failed=counts,
    mismatched=counts,
    refused_lines=counts,
    limited=st.booleans(),
    balanced=st.booleans(),
)


def all_that_applies(ending: Ending) -> set[int]:
    return {
        *ending.errors,
        *([ending.requested] if ending.requested else []),
        *([] if ending.balanced else [1]),
        *([6] if ending.mismatched else []),
        *([5] if ending.failed or ending.refused_lines else []),
        *([9] if ending.limited else []),
        0,
    }


def test_every_code_is_in_the_order() -> None:
    assert sorted(FIRST_THAT_APPLIES) == sorted(ExitCode)


@many
@given(endings)
def test_the_first_that_applies(ending: Ending) -> None:
    applies = all_that_applies(ending)
    assert exit_status(ending) == next(code for code in FIRST_THAT_APPLIES if code in applies)


REQUESTS = [None, ExitCode.LIMIT, ExitCode.INTERRUPTED, ExitCode.TERMINATED]
COMBINATIONS = list(product(REQUESTS, [0, 1], [0, 1], [0, 1], [False, True], [False, True]))


def test_every_combination_where_no_error_ended_the_run() -> None:
    for requested_code, failed, mismatched, refused, limited, balanced in COMBINATIONS:
        ending = Ending(requested_code, (), failed, mismatched, refused, limited, balanced)
        applies = all_that_applies(ending)
        assert exit_status(ending) == min(applies, key=FIRST_THAT_APPLIES.index), ending


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (Ending(), 0),
        (Ending(requested=ExitCode.LIMIT), 9),
        (Ending(limited=True), 9),
        (Ending(limited=True, failed=15), 5),
        (Ending(requested=ExitCode.LIMIT, failed=15), 5),
        (Ending(requested=ExitCode.LIMIT, mismatched=1, failed=15), 6),
        (Ending(requested=ExitCode.INTERRUPTED, mismatched=1, failed=15), 130),
        (Ending(requested=ExitCode.TERMINATED, errors=(ExitCode.DISK,)), 143),
        (Ending(refused_lines=1), 5),
        (Ending(balanced=False, failed=1), 1),
        (Ending(errors=(ExitCode.LOCKED, ExitCode.UNREACHABLE)), 10),
        (Ending(errors=(ExitCode.UNREACHABLE,), mismatched=1), 10),
        (Ending(errors=(ExitCode.REFUSED, ExitCode.DISK)), 11),
    ],
)
def test_exit_status(ending: Ending, code: int) -> None:
    assert exit_status(ending) == code


@many
@given(st.lists(st.sampled_from(ExitCode)))
def test_the_worst_of_several_codes(codes: list[ExitCode]) -> None:
    assert worst_of(codes) == min(codes or [0], key=FIRST_THAT_APPLIES.index)


@pytest.mark.parametrize(("codes", "worst"), [([-9, 0], 1), ([77, 2], 1), ([137, 143], 143)])
def test_an_unknown_code_counts_as_unexpected(codes: list[int], worst: int) -> None:
    assert worst_of(codes) == worst


# ── exception groups ───────────────────────────────────────────────────────────────────────────

DENIED, FULL, HELD = AccessDenied("403"), DiskError("full"), Locked("held")
MISUSE, BUG, BROKEN, CANCELLED = (
    UsageError("?"),
    KeyError("bug"),
    OSError(5, "EIO"),
    asyncio.CancelledError(),
)


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        (DENIED, DENIED),
        (BaseExceptionGroup("", [DENIED]), DENIED),
        (BaseExceptionGroup("", [HELD, FULL, DENIED]), DENIED),
        (BaseExceptionGroup("", [HELD, BaseExceptionGroup("", [FULL, HELD])]), FULL),
        (BaseExceptionGroup("", [DENIED, BUG]), BUG),
        (BaseExceptionGroup("", [HELD, BROKEN]), BROKEN),
        (BaseExceptionGroup("", [BROKEN, MISUSE]), MISUSE),
        (BaseExceptionGroup("", [CANCELLED, HELD]), HELD),
        (CANCELLED, CANCELLED),
    ],
)
def test_the_error_that_decides(problem: BaseException, error: BaseException) -> None:
    assert unwrap(problem) is error
    with pytest.raises(type(error)) as raised, unwrapped():
        raise problem
    assert raised.value is error


async def test_the_worst_error_of_several_tasks_is_raised() -> None:
    async def fail(error: CxrsyncError) -> None:
        raise error

    async def fail_together() -> None:
        with unwrapped():
            async with asyncio.TaskGroup() as group:
                for error in (HELD, DENIED, FULL):
                    group.create_task(fail(error))

    with pytest.raises(AccessDenied):
        await fail_together()


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (OSError(errno.EMFILE, "", "a"), "at a: Too many open files"),
        (OSError(errno.ENOSPC, ""), "No space left"),
        (OSError("of a library"), "cannot continue: OSError"),
        (UnicodeEncodeError("ascii", "x", 0, 1, ""), None),
        (MemoryError(), "Cannot allocate memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (RuntimeError("can't start"), None),
        (RuntimeError(), None),
        (ValueError(), None),
    ],
    ids=str,
)
def test_what_the_machine_is_the_cause_of(problem: Exception, said: str | None) -> None:
    """It ends a run with 7, never with 1, the code of a bug."""
    error = machine_error(problem)
    assert (error is None) == (said is None)
    if error is not None:
        assert error.exit_code == ExitCode.DISK
        assert said in str(error)
        assert "run the same command again" in error.next_step
