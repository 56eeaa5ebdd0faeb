"""The variants of one host on one data set, side by side."""
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .statistics import Run, paired_runs
from .variants import VARIANTS

#: Accuracies of a run, in percent.
ACCURACIES = dict(top1='Top-1', mean_class='Mean class',
                  within_group='Within group')
# What is compared with, the first that is there, and what it is about. Plain
# recognizers are here in the order of a warm start, after which others have
# the extra epochs as well; from scratch it is the other way round.
PLAIN = ('baseline_extra', 'baseline')
CONTROLS = ('control_compute', 'control_parameters')
MAINS = ('dsts_joint', 'dsts_udl2', 'dsts_udl1')


class Comparison(NamedTuple):
    """Runs of one host on one data set.

    Attributes:
        host: Name of the host's config.
        data_set: Name of the data set.
        variants: Runs of every variant, one per seed, in the order of seeds.
        warm_start: Whether the protocol has one.
    """
    host: str
    data_set: str
    variants: dict[str, list[Run]]
    warm_start: bool = True

    @property
    def stem(self) -> str:
        """Start of the names of files about it."""
        return re.sub(r'[^\w.-]+', '-', f'{self.host}_{self.data_set}')

    @property
    def reference(self) -> str | None:
        """What is compared with, None if there is nothing.

        The plain recognizer with the same budget, or else the other, or else
        a control.
        """
        order = (PLAIN if self.warm_start else PLAIN[::-1]) + CONTROLS
        return next((v for v in order if v in self.variants), None)

    @property
    def main(self) -> str | None:
        """The variant that pictures are about.

        Of DSTS, or else the first that is neither plain nor the reference,
        controls last.
        """
        others = [v for v in self.variants
                  if v not in (*PLAIN, self.reference)]
        others.sort(key=lambda v: v in CONTROLS)
        return next(iter([*self.mains, *others]), None)

    @property
    def mains(self) -> list[str]:
        """The variants of DSTS that are compared with every other one."""
        return [v for v in MAINS if v in self.variants]


class PairChange(NamedTuple):
    """Two classes, and the clips of either taken for the other, per seed."""
    first: int
    second: int
    before: float
    after: float


def comparisons(runs: Sequence[Run],
                protocol: dict[str, Any] | None = None
                ) -> list[Comparison]:
    """Sort runs by host and data set, then variant, then seed.

    Args:
        runs: Of one protocol.
        protocol: That of ``results.json``; by default one with a warm start.
    """
    warm_start = (protocol or {}).get('warm_start', True)
    known = list(VARIANTS)
    found: dict[tuple, dict[str, list[Run]]] = {}
    for run in sorted(runs, key=lambda run: run['seed']):
        variants = found.setdefault((run['host'], run['data_set']), {})
        variants.setdefault(run['variant'], []).append(run)
    return [
        Comparison(host, data_set, {
            name: variants[name] for name in sorted(
                variants, key=lambda name: (known.index(name) if name in known
                                            else len(known), name))
        }, warm_start) for (host, data_set), variants in sorted(found.items())
    ]


def title(variant: str) -> str:
    """What a variant is, for readers; its name if it is none of ours."""
    return VARIANTS[variant].title if variant in VARIANTS else variant


def class_name(names: Sequence[str] | None, label: int) -> str:
    """The name of a class, its label if there are no names."""
    return names[label] if names else str(label)


def summed_confusion(runs: Sequence[Run]) -> np.ndarray | None:
    """Confusion matrices of several runs in one, None if a run has none."""
    matrices: list[Any] = [run.get('confusion') for run in runs]
    if not matrices or any(not matrix for matrix in matrices):
        return None
    return np.sum(matrices, axis=0)


def changed_pairs(runs: Sequence[Run], reference: Sequence[Run],
                  k: int) -> list[PairChange]:
    """The pairs of classes whose confusion differs most between variants.

    Args:
        runs: Runs of one variant.
        reference: Runs of the variant that it is compared with. Only seeds
            that both have count.
        k: At most this many pairs; unchanged ones are left out.

    Returns:
        Largest change first, ties in the order of the labels.
    """
    pairs = paired_runs(runs, reference)
    after, before = (summed_confusion(side) for side in zip(*pairs)) \
        if pairs else (None, None)
    if after is None or before is None:
        return []
    after, before = (np.triu(m + m.T, k=1) / len(pairs)
                     for m in (after, before))
    change = np.abs(after - before)
    order = np.argsort(-change, axis=None, kind='stable')[:k]
    return [
        PairChange(int(i), int(j), float(before[i, j]), float(after[i, j]))
        for i, j in zip(*np.unravel_index(order, change.shape))
        if change[i, j] > 0
    ]
