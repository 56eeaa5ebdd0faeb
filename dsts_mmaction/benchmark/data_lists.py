"""The clips that are trained and tested on: a split, or folds by subject.

Lists are MMAction2's, one clip per line, the path first and the label last.
"""
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmengine.config import Config

from ..utils.annotation_lists import read_list
from ..utils.atomic import write_lines
from ..utils.configs import innermost_dataset
from .error import BenchmarkError


@dataclass(frozen=True)
class Lists:
    """Paths of the lists; ``val`` is None where there is none."""
    train: str
    val: str | None
    test: str

    def items(self) -> dict[str, str]:
        """The paths by the names of the config's dataloaders."""
        paths = dict(train=self.train, val=self.val, test=self.test)
        return {name: path for name, path in paths.items() if path}

    def tests_on_validation(self) -> bool:
        """Whether any validation clip is a test clip, by its path."""
        return self.val is not None and not \
            {*_clips(self.val)}.isdisjoint(_clips(self.test))

    def digests(self) -> dict[str, str]:
        """What tells that a list has changed."""
        return {name: digest(path) for name, path in self.items().items()}


def list_path(cfg: Config, split: str,
              data_root: str | None = None,
              name: str | None = None) -> str:
    """Where a config's dataset finds its list.

    Args:
        cfg: Config of a recognizer.
        split: ``'train'``, ``'val'`` or ``'test'``.
        data_root: Instead of the config's.
        name: Of another list below the data root, or its absolute path.
    """
    dataset = innermost_dataset(cfg, split)
    root = data_root or dataset.get('data_root') or ''
    return os.path.join(root, dataset.ann_file if name is None else name)


def split_fold(lines: Sequence[str], pattern: str, fold: int,
               num_folds: int) -> tuple[list[str], list[str]]:
    """Leave a fold of subjects out.

    The subjects, sorted, are dealt to the folds in turn.

    Args:
        lines: Lines of lists.
        pattern: Regular expression whose first group, searched for in the
            path of a clip, is its subject.
        fold: From 1 to ``num_folds``.
        num_folds: At most the number of subjects.

    Returns:
        The lines to train on, and those of the fold.

    Raises:
        BenchmarkError: A path without a subject, or too few of them.
    """
    subjects = [_subject(line, pattern) for line in lines]
    distinct = sorted(set(subjects), key=lambda s: (len(s), s))
    if not 1 <= fold <= num_folds or not 2 <= num_folds <= len(distinct):
        raise BenchmarkError(
            f'the fold must be K/N with 1 <= K <= N and 2 <= N <= '
            f'{len(distinct)}, the number of subjects, got '
            f'{fold}/{num_folds}.')
    left_out = set(distinct[fold - 1::num_folds])
    parts: tuple[list[str], list[str]] = ([], [])
    for line, subject in zip(lines, subjects):
        parts[subject in left_out].append(line)
    return parts


def write_fold(lists: Lists, pattern: str, fold: int, num_folds: int,
               folder: str) -> Lists:
    """Lists of a fold of the training and validation list.

    The test list is not opened: it is no part of the fold where it is the
    validation list as well. The fold has no validation list.

    Args:
        lists: The whole lists.
        pattern: As in :func:`split_fold`.
        fold: As in :func:`split_fold`.
        num_folds: As in :func:`split_fold`.
        folder: Where the fold's lists are written.
    """
    lines = read_list(lists.train)
    if lists.val and \
            os.path.realpath(lists.val) != os.path.realpath(lists.test):
        lines += read_list(lists.val)
    paths = []
    for name, part in zip(('train', 'test'),
                          split_fold(lines, pattern, fold, num_folds)):
        paths.append(os.path.join(os.path.abspath(folder), f'{name}.txt'))
        write_lines(paths[-1], part)
    return Lists(paths[0], None, paths[1])


def digest(path: str) -> str:
    """A short digest of a file's content."""
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _clips(path: str) -> list[str]:
    """The paths in a list."""
    return [line.split()[0] for line in read_list(path)]


def _subject(line: str, pattern: str) -> str:
    try:
        match = re.search(pattern, line.split()[0])
    except re.error as error:
        raise BenchmarkError(f'--fold-by must be a regular expression, got '
                             f"'{pattern}': {error}.") from error
    if not match or not match.groups():
        raise BenchmarkError(
            f'--fold-by must be a regular expression with one group that is '
            f"found in every path, got '{pattern}' for {line.split()[0]!r}.")
    return match.group(1)
