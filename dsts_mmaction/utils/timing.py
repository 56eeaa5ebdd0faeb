"""Time two things against each other, in turn, in one process."""
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch


class Ratio(NamedTuple):
    """One side over the other.

    Attributes:
        value: Median of the ratios of all rounds.
        spread: Their lower and upper quartile.
        sides: Median of either side, in ``unit``.
        unit: ``'s'`` or ``'GiB'``.
    """
    value: float
    spread: tuple[float, float]
    sides: tuple[float, float]
    unit: str


def ratio_of(rounds: Sequence[tuple[float, float]], unit: str) -> Ratio:
    """The ratio of what was measured on either side in every round.

    Args:
        rounds: At least 2 pairs, numerator first, in ``unit``.
        unit: Unit of both.
    """
    lower, middle, upper = statistics.quantiles(
        [a / b for a, b in rounds], n=4, method='inclusive')
    a, b = zip(*rounds)
    return Ratio(middle, (lower, upper),
                 (statistics.median(a), statistics.median(b)), unit)


def measure_ratio(numerator: Callable[[], object],
                  denominator: Callable[[], object],
                  rounds: int = 15,
                  warmup: int = 2) -> Ratio:
    """Measure how many times as long one call takes as the other.

    Every round times both, one after the other, so that a machine that
    changes its speed changes it for both. On CUDA, each call is timed to the
    end of the work it started.

    Args:
        numerator: The call whose cost is in question.
        denominator: What it is compared with.
        rounds: Timed rounds, at least 2.
        warmup: Rounds before them that do not count.

    Raises:
        ValueError: Fewer than two rounds.
    """
    check_rounds(rounds)
    times = [(_seconds(numerator), _seconds(denominator))
             for _ in range(warmup + rounds)][warmup:]
    return ratio_of(times, 's')


def check_rounds(rounds: int) -> None:
    """Check that quartiles can be given.

    Raises:
        ValueError: Fewer than two rounds.
    """
    if rounds < 2:
        raise ValueError(f'rounds must be 2 or more, got {rounds}.')


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
