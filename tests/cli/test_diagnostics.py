"""What Python and libraries write to stderr on their own: none of their text is printed."""

import subprocess
import sys

import pytest

SECRET = "sessionid=hunter2"

CRASH = f"""
import asyncio, gc, logging, sys, threading, warnings
from cxrsync.cli.diagnostics import capture_library_output

capture_library_output(debug={{debug}})
error = ValueError("{SECRET}")

def fall(*_anything):
    raise error

class Odd:
    def __del__(self):
        fall()
    def __str__(self):
        fall()

async def forgotten():
    task = asyncio.create_task(asyncio.to_thread(fall))
    await asyncio.wait([task])
    del task
    gc.collect()

asyncio.run(forgotten())
thread = threading.Thread(target=fall)
thread.start()
thread.join()
Odd()
logging.getLogger("aiohttp.client").warning("cookies: %s", "{SECRET}")
logging.getLogger("aiohttp.client").warning(Odd())
logging.getLogger("aiohttp.client").warning("%d", "{SECRET}")
logging.getLogger("aiohttp.client").debug("cookies: %s", "{SECRET}")
try:
    fall()
except ValueError:
    logging.getLogger("aiohttp").exception("cookies: %s", "{SECRET}")
fall()
"""


@pytest.mark.parametrize("debug", [False, True])
def test_no_text_of_a_library_is_printed(debug: bool) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CRASH.format(debug=debug)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert SECRET not in ended.stdout + ended.stderr
    lines = ended.stderr.splitlines()
    origins = [line for line in lines if line.startswith(("asyncio: ", "aiohttp"))]
    assert [line.split(" (")[0] for line in origins] == [
        "asyncio: error", *["aiohttp.client: warning"] * 3, "aiohttp: error",
    ]  # fmt: skip
    assert all("line " in line for line in origins)
    assert lines[-1] == "ValueError"
    # A thread, a __del__ or more, and the end; with --debug those of the task and the record too.
    assert ended.stderr.count("Traceback") >= (5 if debug else 3)
