"""What a pull from a site imports: each library that it does not need would cost every run."""

import json
import subprocess
import sys

from e2e.stage import Machine

NOT_NEEDED = {
    "yaml", "keyring", "jinja2", "tenacity", "tqdm", "zipfile", "multiprocessing",
    "importlib.metadata", "prometheus_client", "PIL", "distributed", "pyarrow", "botocore", "numpy",
    "cxrsync.demo", "cxrsync.api",
}  # fmt: skip
CODE = """
import json, sys
from cxrsync.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, *sys.modules]), file=sys.__stdout__)
"""


def test_a_pull_with_a_sign_in_imports_what_it_needs(machine: Machine) -> None:
    words = ("pull", "--jpg", "--subject", "10000032", "--progress", "none")
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words],
        env=machine.variables(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    code, *modules = json.loads(done.stdout.splitlines()[-1])
    assert code in {0, 2}, done.stderr
    assert "aiohttp" in modules
    assert NOT_NEEDED.isdisjoint(modules)
