"""Pictures of a benchmark."""
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..utils.atomic import write_atomically
from .comparison import (
    ACCURACIES,
    Comparison,
    PairChange,
    class_name,
    summed_confusion,
    title,
)
from .statistics import Run, measured, spread

GREY, BLUE, RED = '#8c8c8c', '#2f6fb0', '#c8553d'
LINES_PER_PANEL = 5
# Above these, labels and numbers of classes would be too small to read.
MAX_NAMED, MAX_NUMBERED = 40, 20


def draw_accuracies(comparison: Comparison) -> Figure | None:
    """Mean and standard deviation of every variant, single seeds as dots.

    The axes do not start at 0, and say so.
    """
    variants = comparison.variants
    metrics = [metric for metric in ACCURACIES
               if any(spread(runs, metric) for runs in variants.values())]
    if not metrics:
        return None
    figure = Figure(figsize=(1.8 + 3.2 * len(metrics),
                             1.4 + 0.36 * len(variants)),
                    layout='constrained')
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics):
        _draw_accuracy(axes, comparison, metric)
    panels[0].set_yticks(range(len(variants)), list(map(title, variants)))
    panels[0].invert_yaxis()
    figure.suptitle(f'{comparison.host} on {comparison.data_set}\nmean over '
                    'seeds, standard deviation, single seeds', fontsize=9)
    return figure


def _draw_accuracy(axes: Axes, comparison: Comparison, metric: str) -> None:
    every = [value for runs in comparison.variants.values() for run in runs
             if (value := measured(run, metric)) is not None]
    margin = 0.15 * (max(every) - min(every)) + 0.5
    start = max(0, math.floor(min(every) - 3 * margin))
    for y, (name, runs) in enumerate(comparison.variants.items()):
        found = spread(runs, metric)
        if found is None:
            continue
        plain = name.startswith(('baseline', 'control'))
        color = GREY if plain else BLUE
        axes.barh(y, found.mean - start, left=start, color=color,
                  alpha=0.35 if name != comparison.main else 0.7)
        if found.std is not None:
            axes.errorbar(found.mean, y, xerr=found.std, color='black',
                          capsize=3, linewidth=1)
        values = [value for run in runs
                  if (value := measured(run, metric)) is not None]
        # Apart, so that equal seeds can be counted.
        offsets = 0.22 * np.linspace(-1, 1, len(values) + 2)[1:-1]
        axes.scatter(values, y + offsets, s=9, color=color,
                     edgecolor='white', linewidth=0.4, zorder=3)
    axes.set_xlim(start, max(every) + margin)
    axes.set_xlabel(f'{ACCURACIES[metric]} (%), from {start}')
    axes.grid(axis='x', alpha=0.3)
    axes.set_axisbelow(True)


def draw_curves(comparison: Comparison) -> Figure | None:
    """Loss and validation accuracy by epoch, mean and range over seeds.

    The shorter baseline is left out where a longer one is the reference.
    """
    reference = comparison.reference
    variants = {name: runs for name, runs in comparison.variants.items()
                if name == reference or name != 'baseline'}
    keys = {key: label for key, label in dict(
        loss='Training loss, auxiliary losses included',
        val_top1='Validation top-1 (%)').items()
        if any(len(curve) > 1 for runs in variants.values()
               for curve in _curves(runs, key))}
    if not keys:
        return None
    others = [name for name in variants if name != reference]
    rows = [others[i:i + LINES_PER_PANEL]
            for i in range(0, len(others), LINES_PER_PANEL)] or [[]]
    figure = Figure(figsize=(4.6 * len(keys) + 0.5, 3.2 * len(rows) + 0.3),
                    layout='constrained')
    panels = figure.subplots(len(rows), len(keys), squeeze=False)
    for names, row in zip(rows, panels):
        if reference is not None:
            names = [reference, *names]
        for (key, label), axes in zip(keys.items(), row):
            for i, name in enumerate(names):
                color = GREY if name == reference else f'C{i}'
                _draw_curve(axes, _curves(variants[name], key), color,
                            title(name))
            axes.set(xlabel='Epoch', ylabel=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
        row[0].legend(fontsize=7)
    figure.suptitle(f'{comparison.host} on {comparison.data_set}\nmean and '
                    'range over seeds', fontsize=9)
    return figure


def _curves(runs: Sequence[Run], key: str) -> list[dict[int, float]]:
    """A number by epoch for every run that recorded it."""
    curves = [{point['epoch']: point[key] for point in run.get('curve', [])
               if measured(point, key) is not None} for run in runs]
    return [curve for curve in curves if curve]


def _draw_curve(axes: Axes, curves: list[dict[int, float]], color: str,
                label: str) -> None:
    epochs = sorted(set().union(*curves))
    values = [[curve[e] for curve in curves if e in curve] for e in epochs]
    axes.plot(epochs, list(map(np.mean, values)), color=color, label=label,
              marker='.', markersize=4, linewidth=1.2)
    axes.fill_between(epochs, list(map(min, values)), list(map(max, values)),
                      color=color, alpha=0.15, linewidth=0)


def draw_confusions(comparison: Comparison,
                    class_names: Sequence[str] | None) -> Figure | None:
    """Confusion matrices of the reference and the main variant, and change.

    In percent of the clips of a label, all seeds together.
    """
    names = [comparison.reference, comparison.main]
    matrices = [summed_confusion(comparison.variants.get(name, []))
                for name in names]
    if any(matrix is None for matrix in matrices):
        return None
    before, after = (100 * m / np.maximum(m.sum(axis=1, keepdims=True), 1)
                     for m in matrices)
    figure = Figure(figsize=(17, 5.6), layout='constrained')
    panels = figure.subplots(1, 3)
    for axes, matrix, name in zip(panels, (before, after), names):
        _draw_matrix(axes, matrix, class_names, title(name), 'Blues', 0, 100)
    change = after - before
    bound = max(1.0, float(np.abs(change).max()))
    _draw_matrix(panels[2], change, class_names,
                 'Change (better: blue on the diagonal, red elsewhere)',
                 'RdBu', -bound, bound)
    figure.suptitle(f'{comparison.host} on {comparison.data_set}\npercent of '
                    'the clips of a class, all seeds', fontsize=10)
    return figure


def _draw_matrix(axes: Axes, matrix: np.ndarray,
                 class_names: Sequence[str] | None, text: str, cmap: str,
                 low: float, high: float) -> None:
    image = axes.imshow(matrix, cmap=cmap, vmin=low, vmax=high)
    axes.figure.colorbar(image, ax=axes, fraction=0.046)
    axes.set(title=text, xlabel='Prediction', ylabel='Class')
    count = len(matrix)
    if count <= MAX_NAMED:
        names = [class_name(class_names, i) for i in range(count)]
        axes.set_xticks(range(count), names, rotation=90, fontsize=7)
        axes.set_yticks(range(count), names, fontsize=7)
    if count <= MAX_NUMBERED:
        for i, j in zip(*np.nonzero(np.abs(matrix) >= 0.5)):
            dark = abs(matrix[i, j]) > 0.6 * high
            axes.text(j, i, f'{matrix[i, j]:.0f}', ha='center', va='center',
                      fontsize=6, color='white' if dark else 'black')


def draw_changed_pairs(
        comparison: Comparison, pairs: Sequence[PairChange],
        class_names: Sequence[str] | None) -> Figure | None:
    """Change of the confused clips of pairs of classes, per seed."""
    if not pairs:
        return None
    pairs = sorted(pairs, key=lambda pair: pair.after - pair.before)
    changes = [pair.after - pair.before for pair in pairs]
    figure = Figure(figsize=(7.5, 1.3 + 0.28 * len(pairs)),
                    layout='constrained')
    axes = figure.subplots()
    axes.barh(range(len(pairs)), changes,
              color=[BLUE if change < 0 else RED for change in changes])
    axes.set_yticks(range(len(pairs)), [
        f'{class_name(class_names, pair.first)} / '
        f'{class_name(class_names, pair.second)}' for pair in pairs
    ], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color='black', linewidth=0.8)
    axes.grid(axis='x', alpha=0.3)
    axes.set_axisbelow(True)
    axes.set_xlabel('Change of clips taken for one another, per seed '
                    '(below 0 is better)')
    figure.suptitle(f'{comparison.host} on {comparison.data_set}\n'
                    f'{title(comparison.main)} minus '
                    f'{title(comparison.reference)}', fontsize=9)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    with write_atomically(path, 'wb') as file:
        figure.savefig(file, dpi=130)
