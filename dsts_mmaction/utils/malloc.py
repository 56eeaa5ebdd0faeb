"""Let glibc keep freed memory instead of returning it to the kernel.

By default glibc returns every large block when it is freed and asks for it
again in the next iteration, and the kernel clears it page by page. Training
on the CPU can spend more than half of its time on that.
"""
import ctypes
import os
import sys

#: Environment of a process that keeps freed memory. Linux with glibc only;
#: without effect elsewhere. Read once, when a process starts.
KEEP_FREED_MEMORY: dict[str, str] = {
    'MALLOC_MMAP_THRESHOLD_': str(2**40),
    'MALLOC_TRIM_THRESHOLD_': str(2**40),
}


def restart_keeping_freed_memory() -> None:
    """Start the running script anew in that environment, unless it is set.

    Settings of the user's own are left alone.
    """
    missing = {name: value for name, value in KEEP_FREED_MEMORY.items()
               if name not in os.environ}
    if missing and sys.platform == 'linux':
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.argv],
                  {**os.environ, **missing})


def release_freed_memory() -> None:
    """Return what this process keeps to the kernel, where glibc can."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None) \
        if sys.platform == 'linux' else None
    if trim is not None:
        trim(0)
