"""Classes that look alike: which they are, and how well they are told apart.

A group is a list of labels of classes that are hard to tell apart, such as
"closing something" and "pretending to close something". Groups come from a
file (:func:`read_groups`) or from what a recognizer confuses
(:func:`groups_from_confusions`), and may overlap.
"""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from ..utils.json_files import read_json

Groups = list[list[int]]
Entry = int | str

# Mean part of clips that classes of a group are taken for one another (ours).
MIN_CONFUSION = 0.05


class ClassPair(NamedTuple):
    """Two classes and the clips of either that were taken for the other."""
    first: int
    second: int
    count: int


def read_class_names(path: str | Path) -> list[str]:
    """Names of the classes in the order of their labels.

    Args:
        path: One name per line, as in MMAction2's label maps; or, with the
            suffix ``.json``, a list of names or a mapping from names to
            labels, as in Something-Something's labels file.

    Raises:
        ValueError: The file holds something else, or a name twice.
    """
    path = Path(path)
    if path.suffix == '.json':
        names = read_json(path)
        if isinstance(names, dict):
            by_label = {str(label): name for name, label in names.items()}
            names = [by_label.get(str(i)) for i in range(len(names))]
    else:
        text = path.read_text(encoding='utf-8')
        names = [line.strip() for line in text.strip().splitlines()]
    if not isinstance(names, list) or not all(
            isinstance(name, str) and name for name in names):
        raise ValueError(f'{path} must hold names of classes, one per line, '
                         'or a JSON list of names or mapping to labels.')
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'{path} holds {twice[0]!r} twice.')
    return names


def read_groups(path: str | Path,
                class_names: Sequence[str] | None = None) -> Groups:
    """Groups of look-alike classes from a file.

    Args:
        path: One class per line, an empty line between groups, lines that
            start with ``#`` ignored, as in Something-Something V2's list of
            contrastive groups; or, with the suffix ``.json``, a list of
            lists. Classes are labels or, with ``class_names``, names.
        class_names: Names in the order of the labels.

    Raises:
        ValueError: An unknown class, or a group of fewer than two classes;
            the message names the file and the line or group.
    """
    path = Path(path)
    if path.suffix == '.json':
        loaded = read_json(path)
        if not isinstance(loaded, list) or not all(
                isinstance(group, list) for group in loaded):
            raise ValueError(f'{path} must hold a JSON list of lists of '
                             'labels or names.')
        blocks = [[(f'group {i}', entry) for entry in group]
                  for i, group in enumerate(loaded)]
    else:
        blocks = _text_blocks(path.read_text(encoding='utf-8'))
    labels = {name: i for i, name in enumerate(class_names or ())}
    groups = []
    for block in blocks:
        group = [_label(entry, labels, f'{path}, {place}')
                 for place, entry in block]
        if len(set(group)) < max(2, len(group)):
            place = block[0][0] if block else f'group {len(groups)}'
            raise ValueError(f'{path}, {place}: a group must hold two or '
                             f'more different classes, got {group}.')
        groups.append(group)
    if not groups:
        raise ValueError(f'{path} holds no groups.')
    return groups


def check_groups(groups: Groups, num_classes: int) -> None:
    """Check that groups are lists of different labels.

    Raises:
        ValueError: A group of fewer than two classes, or a label that is
            none of ``range(num_classes)``.
    """
    for i, group in enumerate(groups):
        if (len(group) < 2 or len(set(group)) < len(group)
                or not all(isinstance(label, (int, np.integer))
                           and 0 <= label < num_classes for label in group)):
            raise ValueError(
                f'groups[{i}] must hold two or more different labels from 0 '
                f'to {num_classes - 1}, got {group}.')


def ranked_hits(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """At which rank each sample has its label.

    Of equal scores, common in bfloat16, the first class ranks higher, as in
    argmax, so that all numbers made from scores fit together.

    Args:
        scores: Class scores, ``(num_samples, num_classes)``.
        labels: Labels, ``(num_samples,)``.

    Returns:
        Booleans like ``scores``, one true entry per row.
    """
    order = np.argsort(-scores, axis=1, kind='stable')
    return order == labels[:, None]


def confusion_matrix(predictions: Sequence[int], labels: Sequence[int],
                     num_classes: int) -> np.ndarray:
    """Counts of (label, prediction), labels in the rows.

    Returns:
        ``(num_classes, num_classes)``, integers.
    """
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion, (np.asarray(labels, dtype=np.int64),
                          np.asarray(predictions, dtype=np.int64)), 1)
    return confusion


def groups_from_confusions(confusion: np.ndarray,
                           min_confusion: float = MIN_CONFUSION) -> Groups:
    """Cluster the classes that a recognizer takes for one another.

    Two classes are as near as they are confused: the mean of the part of
    either's clips that is taken for the other. Clusters are merged as long
    as that mean over all pairs between them (average linkage) is at least
    ``min_confusion``. Classes left alone are in no group. To be found on
    other clips than those that are reported on.

    Args:
        confusion: ``(num_classes, num_classes)`` counts, labels in the rows.
        min_confusion: Part of 1, above 0.

    Returns:
        Disjoint groups, sorted.

    Raises:
        ValueError: ``min_confusion`` out of its range.
    """
    if not 0 < min_confusion <= 1:
        raise ValueError('min_confusion must be above 0 and at most 1, got '
                         f'{min_confusion}.')
    confusion = np.asarray(confusion, dtype=np.float64)
    if len(confusion) < 2:
        return []
    parts = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    distance = 1 - (parts + parts.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method='average')
    # The tolerance lets a pair at exactly min_confusion in.
    clusters = fcluster(tree, 1 - min_confusion + 1e-9, criterion='distance')
    groups = [np.flatnonzero(clusters == c).tolist()
              for c in np.unique(clusters)]
    return sorted(group for group in groups if len(group) > 1)


def within_group_accuracy(scores: np.ndarray, labels: Sequence[int],
                          groups: Groups) -> float:
    """How often a class is picked out among those that look like it.

    For every group and every sample of one of its classes, the prediction is
    the best score among the group's classes only: what is left are the fine
    distinctions. The mean is over these (group, sample) pairs, so that a
    sample whose class is in two groups counts twice.

    Args:
        scores: ``(num_samples, num_classes)``.
        labels: ``(num_samples,)``.
        groups: Lists of labels.

    Returns:
        Part of 1; NaN if no sample belongs to a group.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    hits: list[np.ndarray] = []
    for group in map(np.asarray, groups):
        members = np.isin(labels, group)
        predictions = group[scores[members][:, group].argmax(axis=1)]
        hits.append(predictions == labels[members])
    hits = np.concatenate(hits) if hits else np.zeros(0)
    return float(hits.mean()) if len(hits) else float('nan')


def most_confused_pairs(confusion: np.ndarray, k: int) -> list[ClassPair]:
    """The pairs of classes with most clips taken for the other, both ways.

    Args:
        confusion: ``(num_classes, num_classes)`` counts.
        k: At most this many pairs; those never confused are left out.

    Returns:
        Most confused first, ties in the order of the labels.
    """
    both = np.triu(np.asarray(confusion) + np.asarray(confusion).T, k=1)
    order = np.argsort(-both, axis=None, kind='stable')[:k]
    pairs = zip(*np.unravel_index(order, both.shape))
    return [ClassPair(int(i), int(j), int(both[i, j])) for i, j in pairs
            if both[i, j] > 0]


def _text_blocks(text: str) -> list[list[tuple[str, Entry]]]:
    """Entries of every group with their places."""
    blocks: list[list[tuple[str, Entry]]] = [[]]
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line.startswith('#'):
            continue
        if line:
            blocks[-1].append((f'line {number}', line))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _label(entry: Entry, labels: dict, place: str) -> int:
    """The label that an entry of a file stands for."""
    if entry in labels and isinstance(entry, str):
        return labels[entry]
    is_label = type(entry) is int or (isinstance(entry, str)
                                      and entry.isdecimal())
    if is_label and 0 <= int(entry) < (len(labels) or float('inf')):
        return int(entry)
    allowed = (f'a name or a label from 0 to {len(labels) - 1}' if labels
               else 'a label (names need class names)')
    raise ValueError(f'{place}: a class must be {allowed}, got {entry!r}.')
