"""Low priority for a thread: it uses the processor and the disk when nobody else needs them."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from contextlib import suppress

_LOWEST = 19
# ioprio_set has no function in the C library, and another number on each architecture.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_IDLE = 3 << 13
# macOS: the background class lowers processor and disk together.
_PRIO_DARWIN_THREAD = 3
_PRIO_DARWIN_BG = 0x1000


def lower_thread_priority() -> None:
    """Lower the priority of the calling thread, as far as the system permits it.

    A sandbox may forbid it: then the thread works with the usual priority. The other threads of the
    process keep theirs, so that a repair is not slow.
    """
    with suppress(OSError):
        if sys.platform == "darwin":
            os.setpriority(_PRIO_DARWIN_THREAD, 0, _PRIO_DARWIN_BG)
        elif sys.platform == "linux":  # where the priority of a process is that of a thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
    number = _IOPRIO_SET.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        # It returns -1 where it is forbidden. 0 means the calling thread.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)
