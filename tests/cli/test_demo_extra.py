"""Without the extra ``demo``: `cxrsync demo` says what to install, and all else works."""

import subprocess
import sys

import pytest

MESSAGE = (
    "cxrsync: cxrsync demo needs the package trustme, for the certificate of its server\n"
    "pip install trustme\n"
)
WITHOUT = "import sys; sys.modules['trustme'] = None; from cxrsync.cli.main import run; "


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        ("['demo']", 2, "", MESSAGE),
        ("['--help']", 0, "demo", ""),
        ("['demo', '--help']", 0, "--patients", ""),
    ],
)  # fmt: skip
def test_without_the_extra(arguments: str, code: int, out: str, err: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT} sys.exit(run({arguments}))"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, err)
    assert out in done.stdout
