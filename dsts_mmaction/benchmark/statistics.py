"""What several seeds say about a recognizer and about a difference.

Numbers of runs come as in ``results.json``: one dict per run with the keys
``seed``, ``top1``, ``correct`` and so on.
"""
import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

Run = dict[str, Any]
Interval = tuple[float, float]

CONFIDENCE = 0.95
BOOTSTRAP_ROUNDS = 2000


class Spread(NamedTuple):
    """Mean and sample standard deviation over ``count`` seeds.

    ``std`` is None for a single seed, which tells nothing about it.
    """
    mean: float
    std: float | None
    count: int


class PairedDifference(NamedTuple):
    """A metric of one variant minus that of another, same seeds.

    Attributes:
        differences: By seed, for those that both have.
        mean: Their mean.
        interval: 95 % t-interval, a confidence interval of the expected
            mean over all seeds, on the same test clips. The mean of other
            seeds, as few, may lie further away. None for a single seed.
        bootstrap: 95 % bootstrap interval over seeds and test clips, of the
            expected mean over all seeds and clips. None for a single seed
            and where the runs do not say which clips they got right.
    """
    differences: dict[int, float]
    mean: float
    interval: Interval | None
    bootstrap: Interval | None


def measured(run: Run, metric: str) -> float | None:
    """A number of a run, None where it is missing or NaN."""
    value = run.get(metric)
    return None if value is None or math.isnan(value) else value


def spread(runs: Sequence[Run], metric: str) -> Spread | None:
    """Mean and standard deviation of a metric, None if no run has it."""
    values = [value for run in runs
              if (value := measured(run, metric)) is not None]
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), std, len(values))


def paired_runs(runs: Sequence[Run],
                reference: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs of both variants with the same seed, in the order of seeds."""
    ours = {run['seed']: run for run in runs}
    theirs = {run['seed']: run for run in reference}
    return [(ours[seed], theirs[seed]) for seed in sorted({*ours} & {*theirs})]


def paired_difference(runs: Sequence[Run], reference: Sequence[Run],
                      metric: str) -> PairedDifference | None:
    """Compare two variants on the seeds that both have.

    Args:
        runs: Runs of one variant, one per seed.
        reference: Runs of the variant to subtract, likewise.
        metric: ``'top1'``, ``'mean_class'`` or ``'within_group'``. The
            bootstrap is for ``'top1'`` only.

    Returns:
        None if no seed has the metric in both.
    """
    pairs = [(a, b) for a, b in paired_runs(runs, reference)
             if None not in (measured(a, metric), measured(b, metric))]
    if not pairs:
        return None
    differences = {a['seed']: a[metric] - b[metric] for a, b in pairs}
    bootstrap = None
    clips = {len(run.get('correct') or '') for pair in pairs for run in pair}
    if metric == 'top1' and len(pairs) > 1 and len(clips) == 1 and min(clips):
        bootstrap = bootstrap_interval(
            100 * np.array([_hits(a) - _hits(b) for a, b in pairs]))
    values = list(differences.values())
    return PairedDifference(differences, statistics.fmean(values),
                            t_interval(values), bootstrap)


def t_interval(values: Sequence[float],
               confidence: float = CONFIDENCE) -> Interval | None:
    """Confidence interval of the mean of normally distributed values.

    Returns:
        None for a single value.
    """
    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = error * float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    return mean - half, mean + half


def bootstrap_interval(values: np.ndarray,
                       confidence: float = CONFIDENCE,
                       rounds: int = BOOTSTRAP_ROUNDS) -> Interval:
    """Percentile interval of the mean over rows and columns.

    Every round draws as many rows and, of them, as many columns as there
    are, with replacement. All rows keep the same columns, as all seeds are
    tested on the same clips. With few rows the interval is too narrow where
    differences between seeds dominate those between clips.

    Args:
        values: ``(num_seeds, num_clips)``.
        confidence: Part of the rounds inside.
        rounds: How often to draw; the draws are the same in every call.
    """
    rng = np.random.default_rng(0)
    num_rows, num_columns = values.shape
    means = []
    for _ in range(rounds):
        rows = values[rng.integers(num_rows, size=num_rows)].mean(axis=0)
        means.append(rows[rng.integers(num_columns, size=num_columns)].mean())
    low, high = np.quantile(means, [(1 - confidence) / 2,
                                    (1 + confidence) / 2])
    return float(low), float(high)


def _hits(run: Run) -> np.ndarray:
    """``correct`` as zeros and ones."""
    return np.array([float(c) for c in run['correct']])
