"""The model disk: what a power cut may leave of a few operations; and strace's lines as such."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from power.model import (
    ROOT,
    Change,
    Cutting,
    Disk,
    Fate,
    Naming,
    Operation,
    Stamping,
    Survivor,
    Syncing,
    Writing,
)
from power.recording import Recording
from thorough import examples

many = settings(max_examples=examples(100))

Tree = dict[str, bytes]
FOLDER, FILE, OTHER = 1, 2, 3
MAKE_FOLDER = Naming((Change(ROOT, "d", FOLDER, is_folder=True),))
MAKE = Naming((Change(ROOT, "new", FILE),))
FILL = Writing(FILE, 0, b"abcd")
RENAME = Naming((Change(ROOT, "new", None), Change(FOLDER, "final", FILE)))
OLD = Naming((Change(FOLDER, "final", OTHER),))

PUBLISHED: list[Operation] = [
    *(MAKE_FOLDER, MAKE, FILL, Syncing(FILE, 3), RENAME),
    *(Syncing(FOLDER, 5), Syncing(ROOT, 6)),
]


def tree(survivor: Survivor) -> Tree:
    return {path: survivor.content(inode) for path, inode in survivor.files()}


def every_tree(operations: list[Operation], fate: Fate, throws: int = 100) -> list[Tree]:
    """Whatever a fate leaves, each tree once."""
    disk = Disk(operations)
    found: list[Tree] = []
    for throw in range(throws):
        left = tree(disk.after_power_loss(fate, throw))
        found += [left] if left not in found else []
    return sorted(found, key=str)


@pytest.mark.parametrize("fate", list(Fate))
def test_what_was_synced_is_there(fate: Fate) -> None:
    assert every_tree(PUBLISHED, fate) == [{"d/final": b"abcd"}]


@pytest.mark.parametrize(
    ("operations", "fate", "left"),
    [
        ([MAKE, FILL], Fate.KEPT, {"new": b"abcd"}),
        ([MAKE, FILL], Fate.SYNCED, {}),
        ([MAKE, FILL], Fate.HOLLOW, {"new": bytes(4)}),
        ([MAKE, FILL], Fate.UNEVEN, {"new": b"abcd"}),
        ([MAKE, Writing(FILE, 0, b"x" * 9000)], Fate.UNEVEN, {"new": bytes(9000)}),
        ([MAKE, FILL], Fate.EMPTY, {"new": b""}),
        # A file that was synced, in a folder that was not.
        ([MAKE, FILL, Syncing(FILE, 2)], Fate.SYNCED, {}),
        ([MAKE, FILL, Syncing(FILE, 2)], Fate.EMPTY, {"new": b"abcd"}),
        # And the other way about.
        ([MAKE, FILL, Syncing(ROOT, 2)], Fate.SYNCED, {"new": b""}),
        # A sync covers what was asked for before it began, and no more.
        ([MAKE, FILL, Syncing(FILE, 1), Syncing(ROOT, 3)], Fate.SYNCED, {"new": b""}),
        # Of a rename only the half whose folder was synced.
        ([*PUBLISHED[:5], Syncing(ROOT, 5)], Fate.SYNCED, {}),
        (
            [*PUBLISHED[:4], Syncing(ROOT, 4), RENAME, Syncing(FOLDER, 6)],
            Fate.SYNCED,
            {"d/final": b"abcd", "new": b"abcd"},
        ),
        # What is written over what is there is lost, not zeroed.
        ([MAKE, FILL, Syncing(FILE, 2), Writing(FILE, 2, b"XYZ")], Fate.HOLLOW, {"new": b"abcd\0"}),
        ([MAKE, FILL, Syncing(FILE, 2), Cutting(FILE, 1)], Fate.KEPT, {"new": b"a"}),
        ([MAKE, FILL, Syncing(FILE, 2), Cutting(FILE, 1)], Fate.EMPTY, {"new": b"abcd"}),
        ([MAKE, Cutting(FILE, 2)], Fate.KEPT, {"new": bytes(2)}),
        # A name that was taken away and is not synced comes back.
        (
            [MAKE, Syncing(ROOT, 1), Naming((Change(ROOT, "new", None),))],
            Fate.SYNCED,
            {"new": b""},
        ),
    ],
)  # fmt: skip
def test_what_a_fate_leaves(operations: list[Operation], fate: Fate, left: Tree) -> None:
    assert every_tree(operations, fate, throws=1) == [left]


def test_ext4_keeps_an_order() -> None:
    """Names in order, bytes that may be late: the file of no bytes under a final name."""
    assert every_tree([MAKE_FOLDER, MAKE, FILL, RENAME], Fate.ORDERED) == [
        {"d/final": b""},
        {"d/final": b"ab"},
        {"d/final": b"abcd"},
        {"new": b""},
        {"new": b"ab"},
        {"new": b"abcd"},
        {},
    ]


def test_ext4_commits_all_names_with_any_sync() -> None:
    other = Naming((Change(ROOT, "other", OTHER),))
    assert all("new" in left for left in every_tree([MAKE, other, Syncing(OTHER, 2)], Fate.ORDERED))


def test_any_leaves_every_combination() -> None:
    contents = [b"abcd", b"ab", bytes(4), b""]
    found = every_tree([MAKE, FILL], Fate.ANY)
    assert found == sorted([{}, *({"new": content} for content in contents)], key=str)


def test_any_may_give_a_file_two_names_or_none() -> None:
    operations = [MAKE_FOLDER, MAKE, FILL, Syncing(FILE, 3), Syncing(ROOT, 3), RENAME]
    names = [set(left) for left in every_tree(operations, Fate.ANY)]
    assert all(each in names for each in ({"new"}, {"d/final"}, {"new", "d/final"}, set()))


@pytest.mark.parametrize(
    ("sync", "mtime"), [(Syncing(FILE, 3), 7), (Syncing(FILE, 3, data_only=True), None)]
)
def test_times_need_a_whole_sync(sync: Syncing, mtime: int | None) -> None:
    disk = Disk([MAKE, FILL, Stamping(FILE, 7), sync])
    assert disk.after_power_loss(Fate.SYNCED).mtime_ns(FILE) == mtime
    assert disk.after_power_loss(Fate.HOLLOW).mtime_ns(FILE) == 7


@many
@given(
    st.lists(
        st.one_of(
            st.builds(Writing, st.just(FILE), st.integers(0, 6), st.binary(max_size=4)),
            st.builds(Cutting, st.just(FILE), st.integers(0, 6)),
            st.builds(Syncing, st.sampled_from([ROOT, FOLDER, FILE]), st.integers(0, 2)),
            st.sampled_from([RENAME, OLD]),
        ),
        max_size=8,
    ),
    st.integers(0, 9),
)
def test_a_last_sync_of_everything_leaves_nothing_to_chance(
    operations: list[Operation], throw: int
) -> None:
    count = len(operations) + 2
    syncs = [Syncing(inode, count) for inode in (ROOT, FOLDER, FILE, OTHER)]
    disk = Disk([MAKE_FOLDER, MAKE, *operations])
    kept = tree(disk.after_power_loss(Fate.KEPT))
    for sync in syncs:
        disk.ask(sync)
    for fate in Fate:
        survivor = disk.after_power_loss(fate, throw)
        assert tree(survivor) == kept
        assert survivor.identity(FILE) == disk.after_power_loss(Fate.KEPT).identity(FILE)


# ── the lines of strace ────────────────────────────────────────────────────────────────────────


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


NEW, FINAL, WORK = hexed("/t/new"), hexed("/t/final"), f"AT_FDCWD<{hexed('/')}>"
AWAY = hexed("/elsewhere")
FD = f"5<{NEW}>"
ABC = hexed("abc")
PART = f'{{iov_base="{ABC}", iov_len=3}}'
TIMES = "[{tv_sec=1, tv_nsec=2}, {tv_sec=3, tv_nsec=4}]"
AT = "1 1.0"
CREATE = f'{AT} openat({WORK}, "{NEW}", O_RDWR|O_CREAT|O_TRUNC, 0600) = {FD} <0.1>'
OPENED = Naming((Change(ROOT, "new", 1),))


@pytest.mark.parametrize(
    ("lines", "operations"),
    [
        ([f'{AT} openat({WORK}, "{AWAY}", O_RDWR|O_CREAT, 0600) = 5<{AWAY}> <0.1>'], []),
        ([f"{AT} write(5<{hexed('socket:[1]')}>, \"{ABC}\", 3) = 3 <0.1>"], []),
        (["1 1.0 +++ exited with 0 +++"], []),
        ([CREATE], [OPENED]),
        ([CREATE, f'{AT} write({FD}, "{ABC}", 3) = 2 <0.1>'], [OPENED, Writing(1, 0, b"ab")]),
        (
            [CREATE, f'{AT} pwrite64({FD}, "{ABC}", 3, 7) = 3 <0.1>'],
            [OPENED, Writing(1, 7, b"abc")],
        ),
        (
            [
                CREATE,
                f"{AT} pwritev({FD}, [{PART}, {PART}], 2, 9) = 6 <0.1>",
            ],
            [OPENED, Writing(1, 9, b"abcabc")],
        ),
        (
            [CREATE, f'{AT} rename("{NEW}", "{FINAL}") = 0 <0.1>'],
            [OPENED, Naming((Change(ROOT, "new", None), Change(ROOT, "final", 1)))],
        ),
        (
            [
                CREATE,
                f'{AT} unlink("{NEW}" <unfinished ...>',
                "9 2.0 +++ exited with 0 +++",
                ") = 0 <0.1>",
            ],
            [OPENED, Naming((Change(ROOT, "new", None),))],
        ),
        (
            [CREATE, f"{AT} ftruncate({FD}, 8) = 0 <0.1>"],
            [OPENED, Cutting(1, 8)],
        ),
        (
            [
                CREATE,
                f"{AT} utimensat({FD}, NULL, {TIMES}, 0) = 0 <0.1>",
            ],
            [OPENED, Stamping(1, 3_000_000_004)],
        ),
        (
            # It began before the write had ended.
            [CREATE, f'1 2.0 write({FD}, "{ABC}", 3) = 3 <0.5>', f"1 2.1 fsync({FD}) = 0 <0.9>"],
            [OPENED, Writing(1, 0, b"abc"), Syncing(1, 1)],
        ),
        (
            [CREATE, f'{AT} write({FD}, "{ABC}", 3) = 3 <0.1>', f"1 2.0 fdatasync({FD}) = 0 <0.1>"],
            [OPENED, Writing(1, 0, b"abc"), Syncing(1, 2, data_only=True)],
        ),
        (
            [
                CREATE,
                f'{AT} write({FD}, "{ABC}", 3) = 3 <0.1>',
                f"{AT} ioctl({FD}, TCGETS, 0x7f) = 0 <0.1>",
                f'{AT} openat({WORK}, "{FINAL}", O_WRONLY|O_CREAT, 0600) = 6<{FINAL}> <0.1>',
                f"{AT} ioctl(6<{FINAL}>, BTRFS_IOC_CLONE or FICLONE, {FD}) = 0 <0.1>",
            ],
            [
                OPENED,
                Writing(1, 0, b"abc"),
                Naming((Change(ROOT, "final", 2),)),
                Writing(2, 0, b"abc"),
            ],
        ),
        (
            [
                CREATE,
                f'{AT} write({FD}, "{ABC}", 3) = 3 <0.1>',
                f'{AT} openat({WORK}, "{FINAL}", O_WRONLY|O_CREAT, 0600) = 6<{FINAL}> <0.1>',
                f"{AT} sendfile(6<{FINAL}>, {FD}, [1] => [3], 99) = 2 <0.1>",
            ],
            [
                OPENED,
                Writing(1, 0, b"abc"),
                Naming((Change(ROOT, "final", 2),)),
                Writing(2, 0, b"bc"),
            ],
        ),
    ],
)  # fmt: skip
def test_lines(lines: list[str], operations: list[Operation]) -> None:
    recording = Recording("/t")
    recording.read(f"{line}\n".encode() for line in lines)
    assert recording.operations == operations


@pytest.mark.parametrize(
    "line",
    [
        "no line at all",
        f"{AT} truncate(\"{NEW}\", 5) = 0 <0.1>",
        f"{AT} fallocate({FD}, 0, 0, 5) = 0 <0.1>",
        f'{AT} rename("{NEW}", "{AWAY}") = 0 <0.1>',
        f'{AT} mkdir("{hexed("relative")}", 0700) = 0 <0.1>',
        f'{AT} openat({WORK}, "{FINAL}", O_RDWR) = 6<{FINAL}> <0.1>',
    ],
)  # fmt: skip
def test_what_the_model_does_not_know_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"model|line|tree|told|made"):
        Recording("/t").read([f"{CREATE}\n".encode(), f"{line}\n".encode()])


def test_what_was_there_before_is_synced(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_bytes(b"old")
    recording = Recording(str(tmp_path))
    recording.take_in(tmp_path)
    assert every_tree(recording.operations, Fate.SYNCED, throws=1) == [{"d/file": b"old"}]
