"""FineGym: the element clips of Gym99 and Gym288.

Lists of elements have lines ``VIDEO_E_…_A_… LABEL``. The official ones are
read, ``gym99_train_element_v1.1.txt`` and ``gym99_val_element.txt``, also by
the names that MMAction2's download script gives them, ``gym99_train_org.txt``
and ``gym99_val_org.txt``. Lists named ``gym99_train.txt``, without ``_org``,
are made from them and not read: their clips have the suffix of somebody's
files, and MMAction2's script leaves out those that it did not find.
"""

import re
from collections.abc import Iterator, Sequence

from .annotations import (
    Annotations,
    Record,
    Split,
    check_class_names,
    make_splits,
)
from .finegym_segments import ELEMENT, read_segments
from .reading import describe, find_file, find_optional_file, read_lines

NUM_CLASSES = dict(gym99=99, gym288=288)
TIMES = ('finegym_annotation_info_v1.1.json',
         'finegym_annotation_info_v1.0.json', 'event_annotation.json')
_LISTS = dict(
    train=('{}_train_element_v1.1.txt', '{}_train_element_v1.0.txt',
           '{}_train_org.txt'),
    val=('{}_val_element.txt', '{}_val_org.txt'))


def read_finegym(folder: str,
                 sets: Sequence[str] = ('gym99', 'gym288'),
                 times: str | None = None,
                 gym99_names: str | None = None) -> Annotations:
    """Lists ``SET_train`` and ``SET_val``, and ``segments.csv``.

    With ``gym99_names`` also ``gym99_classes.txt``.

    Args:
        folder: Where the lists of elements are.
        sets: Some of ``'gym99'`` and ``'gym288'``.
        times: File with the elements' time stamps; by default the first of
            ``TIMES`` that the folder has. Without any, no ``segments.csv``.
        gym99_names: File with the names of Gym99's classes, one a line in
            the order of the labels, such as MMAction2's label map. Classes of
            the same name, which there are, get their labels appended.

    Raises:
        ValueError: A file or line is not as it should be.
    """
    splits: list[Split] = []
    for name in sets:
        paths = {
            f'{name}_{part}': find_file(
                folder, [pattern.format(name) for pattern in patterns],
                '; --sets chooses what is prepared')
            for part, patterns in _LISTS.items()}
        splits += make_splits(NUM_CLASSES[name], (
            (split, path, _read_elements(path))
            for split, path in paths.items()))

    files, notes = {}, []
    if gym99_names:
        files['gym99_classes.txt'] = _read_names(gym99_names)
    times = times or find_optional_file(folder, TIMES)
    if times:
        # An element can be in both sets.
        elements = list(dict.fromkeys(
            clip.name for split in splits for clip in split.clips))
        files['segments.csv'], untimed = read_segments(times, elements)
        if untimed:
            notes.append(f'Not in segments.csv, without times in {times}: '
                         f'{len(untimed)} of {len(elements)} elements, such '
                         f'as {untimed[0]}.')
    else:
        notes.append(f"No segments.csv: {folder} has no {' or '.join(TIMES)}.")
    return Annotations(splits, files, notes)


def _read_elements(path: str) -> Iterator[Record]:
    for i, line in enumerate(read_lines(path), 1):
        match = re.fullmatch(r'(\S+)\s+(-?\d{1,9})\s*', line)
        if not match or not ELEMENT.fullmatch(match[1]):
            raise ValueError(f'{path}, line {i} must be VIDEO_E_…_A_… LABEL, '
                             f'got {describe(line)}.')
        yield f'line {i}', match[1], int(match[2])


def _read_names(path: str) -> list[str]:
    names = [line.strip() for line in read_lines(path)]
    if len(names) != NUM_CLASSES['gym99'] or not all(names):
        raise ValueError(f"{path} must hold {NUM_CLASSES['gym99']} names of "
                         f'classes, one a line, got {len(names)} lines, '
                         f"{names.count('')} of them empty.")
    distinct = [f'{name} [{label}]' if names.count(name) > 1 else name
                for label, name in enumerate(names)]
    check_class_names(path, distinct)
    return distinct
