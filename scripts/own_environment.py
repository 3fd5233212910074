"""Imported first by a script: runs it in the environment of the checkout, which is made if it is
missing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What only the environment of the checkout has.
_NEEDED = ("trustme", "aiohttp", "botocore")


def _enter() -> None:
    """Start the script anew with the environment's interpreter, unless this one has all."""
    if all(map(find_spec, _NEEDED)):
        return
    made = f'source "{HERE}/environment"; make_venv dev; echo "$venv/bin/python"'
    done = subprocess.run(["bash", "-c", made], stdout=subprocess.PIPE, text=True, check=True)
    python = done.stdout.splitlines()[-1]
    os.execv(python, [python, *sys.argv])


_enter()
