"""Compare the peak memory of two things, each in processes of its own."""
import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from .malloc import KEEP_FREED_MEMORY
from .timing import Ratio, check_rounds, ratio_of

T = TypeVar('T')
PROCESS = Path('/proc/self')  # where Linux keeps what it knows of a process


def measure_memory_ratio(numerator: Callable[[], int],
                         denominator: Callable[[], int],
                         rounds: int = 2) -> Ratio:
    """Measure how many times as much memory one side takes as the other.

    Args:
        numerator: Returns the memory in question, in bytes. Called in a new
            process every time, so it has to be picklable.
        denominator: What it is compared with, likewise.
        rounds: How often both are measured, in turn; at least 2.

    Raises:
        ValueError: Fewer than two rounds.
    """
    check_rounds(rounds)
    return ratio_of([(in_new_process(numerator) / 2**30,
                      in_new_process(denominator) / 2**30)
                     for _ in range(rounds)], 'GiB')


def in_new_process(call: Callable[[], T]) -> T:
    """What a picklable call returns in a process that did nothing before.

    Freed memory goes back to the kernel there, whatever this process does
    with it (:data:`~dsts_mmaction.utils.malloc.KEEP_FREED_MEMORY`).
    """
    kept = {name: os.environ.pop(name) for name in KEEP_FREED_MEMORY
            if name in os.environ}
    context = multiprocessing.get_context('spawn')
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(call).result()
    finally:
        os.environ.update(kept)


def memory_growth(call: Callable[[], object]) -> int:
    """How much more memory was in use at the peak of a call than before it.

    On CUDA, the memory of tensors on the current device. On the CPU, the
    resident memory of this process; where its peak cannot be reset (outside
    Linux), the growth over the peak so far.

    Returns:
        Bytes.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    _reset_peak()
    before = peak_memory()
    call()
    return peak_memory() - before


def _reset_peak() -> None:
    """Make the peak of the resident memory what is resident now."""
    with contextlib.suppress(OSError):
        (PROCESS / 'clear_refs').write_text('5')


def peak_memory() -> int:
    """Bytes in use at the peak so far.

    On CUDA, of tensors on the current device; else what was resident of this
    process.
    """
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        status = (PROCESS / 'status').read_text()
    except OSError:
        import resource
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == 'darwin' else peak * 1024
    # Not ru_maxrss: on Linux a process starts with that of its parent.
    return int(status.split('VmHWM:')[1].split()[0]) * 1024
