"""Something-Something V2.

The files of a split hold a list of records with ``id`` and ``template``. The
template is a class with its placeholders in brackets, ``[something]``; the
file of labels has the same text without brackets. The test file has no
templates, so there is no list of it.
"""

import re
from collections.abc import Iterator
from typing import Any

from .annotations import Annotations, Record, make_splits
from .reading import describe, find_file, read_json, read_records

# Names of the files by option. As released first, they begin with the data
# set's name; as released since, they do not.
_FILES = dict(labels='labels.json', train='train.json', val='validation.json')
_PREFIXES = 'something-something-v2-', ''


def read_sthv2(folder: str | None = None,
               labels: str | None = None,
               train: str | None = None,
               val: str | None = None) -> Annotations:
    """Lists ``train`` and ``val``, and ``classes.txt``.

    Args:
        folder: Where files are that are not named.
        labels: File that maps classes to labels.
        train: File of the training split.
        val: File of the validation split. If only one of the two is named,
            there is only that list.

    Raises:
        ValueError: A file or record is not as it should be.
    """
    given = dict(train=train, val=val)
    wanted = [split for split, path in given.items() if path] or list(given)
    labels = labels or _find(folder, 'labels')
    names = read_labels(labels)
    label_of = {name: label for label, name in enumerate(names)}

    def read(path: str) -> Iterator[Record]:
        for place, clip, template in read_records(path, 'id', 'template'):
            name = (re.sub(r'[][]', '', template)
                    if isinstance(template, str) else None)
            if name not in label_of:
                raise ValueError(f'{path}, {place}: template '
                                 f'{describe(template)} is no class of '
                                 f'{labels}.')
            yield place, clip, label_of[name]

    paths = {split: given[split] or _find(folder, split) for split in wanted}
    splits = make_splits(len(names), (
        (split, path, read(path)) for split, path in paths.items()))
    return Annotations(splits, {'classes.txt': names})


def read_labels(path: str) -> list[str]:
    """Names of the classes in the order of their labels.

    Raises:
        ValueError: The file does not map names to the labels from 0 on.
    """
    labels = read_json(path)
    if not isinstance(labels, dict) or not labels:
        raise ValueError(f'{path} must hold a JSON object that maps classes '
                         f'to labels, got {describe(labels)}.')
    names: list[Any] = [None] * len(labels)
    for name, label in labels.items():
        # Released as text, "0".
        number = (int(label) if re.fullmatch(r'\d{1,9}', str(label), re.ASCII)
                  and type(label) in (int, str) else -1)
        if not 0 <= number < len(names) or names[number] is not None:
            raise ValueError(
                f'{path}, {name!r}: its label must be a number from 0 to '
                f'{len(names) - 1} that no other class has, got {label!r}.')
        if not name.strip() or not name.isprintable():
            raise ValueError(f'{path}: the name of class {number} must be '
                             f'text on one line, got {name!r}.')
        names[number] = name
    return names


def _find(folder: str | None, option: str) -> str:
    if folder is None:
        raise ValueError(f'--{option} or --annotations must be given.')
    hint = ('' if option == 'labels' else
            '; --train or --val alone names the file of the only split')
    return find_file(
        folder, [prefix + _FILES[option] for prefix in _PREFIXES], hint)
