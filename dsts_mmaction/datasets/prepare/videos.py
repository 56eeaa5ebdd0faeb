"""Which videos are there, and which of them can be read."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from rich.console import Console

from ...utils.reporter import Reporter
from ..workers import leave_signals_to_parent

# Videos that are waiting for a worker at once.
BATCH = 256


def find_missing(folder: str, names: Sequence[str]) -> list[str]:
    """The names that are not files below a folder."""
    return [name for name in names
            if not os.path.isfile(os.path.join(folder, name))]


def find_unreadable(folder: str, names: Sequence[str], num_workers: int,
                    console: Console) -> dict[str, str]:
    """Videos whose first frame decord cannot read, each with the reason.

    Args:
        folder: Folder of the videos.
        names: Paths below it.
        num_workers: Processes that read.
        console: Where progress is shown.
    """
    found: dict[str, str] = {}
    done = 0
    pool = _make_pool(num_workers)
    try:
        with Reporter(console, 'Reading videos', len(names)) as reporter:
            for start in range(0, len(names), BATCH):
                batch = names[start:start + BATCH]
                paths = [os.path.join(folder, name) for name in batch]
                reasons: list[str | None] = []
                try:
                    for reason in pool.map(read_first_frame, paths):
                        reasons.append(reason)
                        reporter.update(done + len(reasons),
                                        f'{done + len(reasons)}/{len(names)}')
                except BrokenProcessPool:
                    # Some video has crashed the decoder: which one shows
                    # when each has a process of its own.
                    pool.shutdown()
                    pool = _make_pool(num_workers)
                    reasons += [_read_alone(path)
                                for path in paths[len(reasons):]]
                found.update((name, reason)
                             for name, reason in zip(batch, reasons)
                             if reason is not None)
                done += len(batch)
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def read_first_frame(path: str) -> str | None:
    """Why the first frame of a video cannot be read; None if it can."""
    import decord  # the lists can be made without it
    try:
        # By path: of bytes, decord crashes on some broken files.
        decord.VideoReader(path, num_threads=1)[0]
    except Exception as error:  # decord has several kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[0]
    return None


def _read_alone(path: str) -> str | None:
    with _make_pool(1) as pool:
        try:
            return pool.submit(read_first_frame, path).result()
        except BrokenProcessPool:
            return 'the decoder crashed'


def _make_pool(num_workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        num_workers, initializer=leave_signals_to_parent)
