"""The pair of classes that one recognizer separates best against another."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..datasets import (
    SynthDiveConfig,
    class_names,
    render_clip,
    sample_clip,
    spread_frames,
)
from ..evaluation.look_alike import confusion_matrix
from ..utils.atomic import write_atomically
from .comparison import PairChange, changed_pairs

COLUMNS, GAP = 8, 2


class SeparatedPair(NamedTuple):
    """Two classes that are confused less than before.

    Attributes:
        change: Their labels, and the clips of either taken for the other.
        num_clips: How many clips the two classes have.
        shown: For either class, the number of the clip that shows it best.
    """
    change: PairChange
    num_clips: int
    shown: list[int]


def separated_pair(labels: Sequence[int], before: Sequence[int],
                   after: Sequence[int]) -> SeparatedPair | None:
    """The pair of classes whose confusion fell most, None if none fell.

    The clip that shows it best was taken for the other class before and is
    recognized now; where there is none, one of the two is enough.

    Args:
        labels: Labels of the clips.
        before: Predictions of the recognizer that is compared with.
        after: Predictions of the other one.
    """
    labels, before, after = map(np.asarray, (labels, before, after))
    num_classes = 1 + int(max(map(np.max, (labels, before, after))))

    def runs(predictions: np.ndarray) -> list[dict]:
        confusion = confusion_matrix(predictions, labels, num_classes)
        return [dict(seed=0, confusion=confusion.tolist())]

    changes = changed_pairs(runs(after), runs(before), num_classes**2)
    change = next((c for c in changes if c.after < c.before), None)
    if change is None:
        return None
    pair = change.first, change.second
    shown = []
    for label, other in (pair, pair[::-1]):
        clips = np.flatnonzero(labels == label)
        score = 1 * (before[clips] == other) + (after[clips] == label)
        shown.append(int(clips[score.argmax()]))
    return SeparatedPair(change, int(np.isin(labels, pair).sum()), shown)


def counts(pair: SeparatedPair, names: Sequence[str]) -> str:
    """How many clips either recognizer confused, in words.

    Args:
        pair: What :func:`separated_pair` returns.
        names: Of the recognizers, the one that is compared with first.
    """
    numbers = pair.change.before, pair.change.after
    return ', '.join(f'{number:.0f} of {pair.num_clips} by {name}'
                     for number, name in zip(numbers, names))


def draw_separated_pair(config: SynthDiveConfig, pair: SeparatedPair,
                        predictions: dict[str, Sequence[int]],
                        path: str) -> None:
    """Write a PNG with a clip of either class, time from left to right.

    Args:
        config: The data set, whose test clips were predicted.
        pair: What :func:`separated_pair` returns.
        predictions: Of the two recognizers by name, the one that is compared
            with first.
        path: File to write.
    """
    names = class_names(config)
    labels = pair.change.first, pair.change.second
    figure = Figure(figsize=(10.5, 3.1), layout='constrained')
    for axes, label, clip in zip(figure.subplots(2, 1), labels, pair.shown):
        frames = render_clip(sample_clip(config, 'test', clip), config.size)
        tiles = np.pad(spread_frames(frames, COLUMNS)[..., ::-1],
                       ((0, 0), (0, 0), (0, GAP), (0, 0)),
                       constant_values=255)
        axes.imshow(np.concatenate(tiles, 1))
        axes.set_axis_off()
        axes.text(-0.02, 0.6, names[label], ha='right', weight='bold',
                  transform=axes.transAxes)
        axes.text(-0.02, 0.5, '\n'.join(
            f'{name}: {names[predicted[clip]]}'
            for name, predicted in predictions.items()), ha='right', va='top',
            fontsize=8, transform=axes.transAxes)
    figure.suptitle(
        'Of all pairs of classes, the one whose confusion fell most\n'
        'Clips of the two classes taken for each other: '
        f'{counts(pair, list(predictions))}', fontsize=10)
    with write_atomically(path, 'wb') as file:
        figure.savefig(file, dpi=130, format='png')
