"""What a training of MMEngine has left in its work directory so far."""
import json
import os
import statistics
from typing import Any

# Iterations left out of the timing after each start: they include the start
# of the data loading processes and of PyTorch's own caches.
WARMUP_ITERS = 10


def read_scalars(run_dir: str) -> list[list[dict[str, Any]]]:
    """Records of the training log, one list for each start of the training.

    Args:
        run_dir: A work directory of ``tools/train.py``.

    Returns:
        Records of all ``*/vis_data/scalars.json`` in the order of time. A
        last line that is still being written is left out.
    """
    if not os.path.isdir(run_dir):
        return []
    starts = []
    for name in sorted(os.listdir(run_dir)):
        path = os.path.join(run_dir, name, 'vis_data', 'scalars.json')
        if not os.path.isfile(path):
            continue
        records = []
        with open(path, encoding='utf-8') as file:
            for line in file:
                try:
                    records.append(json.loads(line))
                except ValueError:
                    continue
        starts.append(records)
    return starts


def last_training_record(
        starts: list[list[dict[str, Any]]]) -> dict[str, Any] | None:
    """The newest record of a training iteration, None if there is none."""
    for records in reversed(starts):
        for record in reversed(records):
            if 'iter' in record and 'loss' in record:
                return record
    return None


def median_iter_time(starts: list[list[dict[str, Any]]],
                     warmup: int = WARMUP_ITERS) -> float | None:
    """Median seconds per training iteration.

    Args:
        starts: What :func:`read_scalars` returns.
        warmup: Iterations left out after each start.

    Returns:
        None if no later iteration was logged.
    """
    times = []
    for records in starts:
        records = [r for r in records if 'iter' in r and 'time' in r]
        # The first record comes some iterations after the start.
        begin = records[0]['iter'] if records else 0
        times += [
            r['time'] for r in records[1:] if r['iter'] - begin >= warmup
        ]
    return statistics.median(times) if times else None


def last_checkpoint(run_dir: str) -> str | None:
    """The newest whole checkpoint of a training, None if there is none."""
    pointer = os.path.join(run_dir, 'last_checkpoint')
    if not os.path.isfile(pointer):
        return None
    with open(pointer, encoding='utf-8') as file:
        # The work directory may have been moved since.
        path = os.path.join(run_dir, os.path.basename(file.read().strip()))
    return path if os.path.isfile(path) else None


def is_trained(run_dir: str, max_epochs: int) -> bool:
    """Whether the training in ``run_dir`` reached its last epoch."""
    checkpoint = last_checkpoint(run_dir)
    return (checkpoint is not None
            and os.path.basename(checkpoint) == f'epoch_{max_epochs}.pth')
