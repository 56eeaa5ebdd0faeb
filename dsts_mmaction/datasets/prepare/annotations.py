"""What annotation files hold, checked: clips, labels and class names."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any, NamedTuple

from .reading import describe

Record = tuple[str, Any, Any]


class Clip(NamedTuple):
    """One clip: its path below the folder of videos, without the suffix."""
    name: str
    label: int


@dataclass(frozen=True)
class Split:
    """Clips of one annotation list.

    Args:
        name: Name of the list, without ``.txt``.
        clips: In the order of the annotation file.
        num_classes: Labels are below it.
    """
    name: str
    clips: list[Clip]
    num_classes: int


@dataclass(frozen=True)
class Annotations:
    """What is to be written for a data set.

    Args:
        splits: The annotation lists.
        files: Lines of further files, such as ``classes.txt``, by name.
        notes: What the user should know, a sentence each.
    """
    splits: list[Split]
    files: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of all files."""
        return [*(f'{split.name}.txt' for split in self.splits), *self.files]


def is_below(path: str) -> bool:
    """Whether a path stays in its folder and fits into a list.

    It must be relative, on any system, without ``..``, and without white
    space, which separates it from the label.
    """
    parsed = PureWindowsPath(path)
    return (bool(parsed.parts) and not parsed.anchor
            and '..' not in parsed.parts and path.isprintable()
            and ' ' not in path)


def make_splits(num_classes: int,
                files: Iterable[tuple[str, str, Iterable[Record]]]
                ) -> list[Split]:
    """The splits of one data set, checked.

    Args:
        num_classes: Labels must be below it.
        files: Name of each split, path of its annotation file, and the
            file's records: place in the file, such as ``'line 3'``, name and
            label of each clip.

    Raises:
        ValueError: A name that leads out of the folder of videos or is
            there twice, a label that is no class, or no clip at all.
    """
    splits: list[Split] = []
    owners: dict[str, str] = {}
    for split, path, records in files:
        clips = _check_clips(path, records, num_classes)
        for name, _ in clips:
            owner = owners.setdefault(name, path)
            if owner != path:
                raise ValueError(
                    f'{name!r} is in both {owner} and {path}: a clip must be '
                    'in one split only.')
        splits.append(Split(split, clips, num_classes))
    return splits


def _check_clips(path: str, records: Iterable[Record],
                 num_classes: int) -> list[Clip]:
    clips: list[Clip] = []
    places: dict[str, str] = {}
    for place, name, label in records:
        if not isinstance(name, str) or not is_below(name):
            raise ValueError(
                f'{path}, {place}: the name of a clip must be a path below '
                f'the folder of videos without white space, got '
                f'{describe(name)}.')
        if name in places:
            raise ValueError(
                f'{path}, {place}: {name!r} is in {places[name]} already.')
        # True and False are integers, too.
        if type(label) is not int or not 0 <= label < num_classes:
            raise ValueError(
                f'{path}, {place}: the label of {name!r} must be a whole '
                f'number from 0 to {num_classes - 1}, got {describe(label)}.')
        places[name] = place
        clips.append(Clip(name, label))
    if not clips:
        raise ValueError(f'{path} holds no clips.')
    return clips


def check_class_names(path: str, names: list[str]) -> None:
    """Check that classes can be told apart by their names.

    Raises:
        ValueError: No name, or one twice.
    """
    if not names:
        raise ValueError(f'{path} holds no classes.')
    for label, name in enumerate(names):
        first = names.index(name)
        if first < label:
            raise ValueError(f'{path}: classes {first} and {label} have the '
                             f'same name, {name!r}.')
