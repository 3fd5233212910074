"""A miniature PhysioNet, and a user's machine beside it."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.command_line import end_processes
from e2e.linked_copy import Stats, linked_copy, stats
from e2e.stage import DICOM, JPG, VERSION, Machine

from cxrsync.demo.data.tree import TreeSpec, make_tree
from cxrsync.demo.server.behaviour import ServerBehaviour
from cxrsync.demo.server.server import MiniPhysioNet

# Small enough to be made anew for each process of tests, with several images in each shard. With
# this seed p10 has images of each split.
SPEC = TreeSpec(patients=24, image_bytes=20_000, seed=4)
# What a password check costs PhysioNet is the subject of a few tests, which say so.
QUICK = {"password_check_seconds": 0.001}


@pytest.fixture(scope="session")
def files_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("physionet") / "files"
    for dataset in (JPG, DICOM):
        for version in ("2.0.0", VERSION):
            make_tree(root, dataset, version, SPEC)
    return root


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    end_processes()


@pytest.fixture
def jpg(files_root: Path) -> Path:
    return files_root / JPG / VERSION


@pytest.fixture(scope="session")
def files_stats(files_root: Path) -> Stats:
    return stats(files_root)


@pytest.fixture
def own_files(files_root: Path, files_stats: Stats, tmp_path: Path) -> Iterator[Path]:
    """A copy of what the server has, for tests that change it. Its images and reports are links: a
    test that changes one uses :func:`e2e.linked_copy.rewrite`."""
    yield linked_copy(files_root, tmp_path / "files")
    now = stats(files_root)
    changed = sorted(name for name, each in files_stats.items() if now.get(name) != each)
    assert not changed, f"the test has changed files of all tests: {changed}"


@pytest.fixture
def serve(files_root: Path) -> Iterator[Callable[..., MiniPhysioNet]]:
    with ExitStack() as stack:

        def start(root: Path = files_root, **behaviour: object) -> MiniPhysioNet:
            server = MiniPhysioNet(root, ServerBehaviour(**{**QUICK, **behaviour}))  # type: ignore[arg-type]
            return stack.enter_context(server)

        yield start


@pytest.fixture
def server(serve: Callable[..., MiniPhysioNet]) -> MiniPhysioNet:
    return serve()


@pytest.fixture(scope="module")
def module_server(files_root: Path) -> Iterator[MiniPhysioNet]:
    with MiniPhysioNet(files_root, ServerBehaviour(**QUICK)) as server:
        yield server


@pytest.fixture
def shared_server(module_server: MiniPhysioNet) -> MiniPhysioNet:
    """For the tests of a module that neither stop it nor change its manners: making one takes
    longer than most of them."""
    module_server.request_log.reset()
    return module_server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with the given options, as ``size=2m``; skips where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip("mounting needs root")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)


@pytest.fixture
def make_machine(tmp_path: Path) -> Callable[[MiniPhysioNet], Machine]:
    def make(server: MiniPhysioNet) -> Machine:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        return Machine(home, tmp_path / "mirror", server.base_url, server.ca_file)

    return make


@pytest.fixture
def machine(server: MiniPhysioNet, make_machine: Callable[[MiniPhysioNet], Machine]) -> Machine:
    return make_machine(server)
