"""Diving48, with the labels of its second version.

``Diving48_V2_train.json`` and ``Diving48_V2_test.json`` hold a list of
records with ``vid_name`` and ``label``; a clip is a video of its own, so
``start_frame`` and ``end_frame`` are not needed. ``Diving48_vocab.json`` holds
four words for each label: direction, somersaults, twists and position.
"""

import re

from .annotations import Annotations, check_class_names, make_splits
from .reading import describe, find_file, read_json, read_records

_WORDS = dict(NoTwis='no twist', STR='straight')


def read_diving48(folder: str) -> Annotations:
    """Lists ``train`` and ``test``, and ``classes.txt``.

    There is no validation split: the test list is customarily used for both.

    Args:
        folder: Where the three files are.

    Raises:
        ValueError: A file or record is not as it should be.
    """
    names = read_vocabulary(find_file(folder, ['Diving48_vocab.json']))
    paths = {split: find_file(folder, [f'Diving48_V2_{split}.json'])
             for split in ('train', 'test')}
    splits = make_splits(len(names), (
        (split, path, read_records(path, 'vid_name', 'label'))
        for split, path in paths.items()))
    return Annotations(splits, {'classes.txt': names})


def read_vocabulary(path: str) -> list[str]:
    """Readable names of the classes, such as ``back, 9.5 somersaults, …``.

    Raises:
        ValueError: The file does not hold different lists of words.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise ValueError(f'{path} must hold a JSON list with a list of words '
                         f'for each class, got {describe(entries)}.')
    for label, words in enumerate(entries):
        if not isinstance(words, list) or not words or not all(
                isinstance(word, str) and word.isalnum() for word in words):
            raise ValueError(f'{path}, class {label} must be a list of words, '
                             f'got {describe(words)}.')
    names = [', '.join(map(_readable, words)) for words in entries]
    check_class_names(path, names)
    return names


def _readable(word: str) -> str:
    """``15som`` is 1.5 somersaults; a dive is less than one."""
    number = re.fullmatch(r'(\d)(5?)(som|Twis)', word)
    if number:
        whole, half, what = number.groups()
        count = f'{whole}.{half}' if half else whole
        what = dict(som='somersault', Twis='twist')[what]
        return f"{count} {what}{'' if count == '1' else 's'}"
    return _WORDS.get(word, word.lower())
