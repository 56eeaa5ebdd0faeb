"""Writing lists and reports, all of them or none."""

import contextlib
import os

from ...utils.atomic import write_atomically, write_lines
from .annotations import Annotations


def check_free(annotations: Annotations, out: str, force: bool) -> None:
    """Check that nothing would be overwritten, and that all can be written.

    Args:
        annotations: What is to be written to the folder ``out``.
        out: The folder.
        force: Files may be replaced.

    Raises:
        FileExistsError: Something is in the way.
    """
    if os.path.lexists(out) and not os.path.isdir(out):
        raise FileExistsError(f'--out {out} is not a folder.')
    for name in annotations.names:
        path = os.path.join(out, name)
        if os.path.isdir(path):
            raise FileExistsError(f'{path} is a folder: choose another --out.')
        if os.path.lexists(path) and not force:
            raise FileExistsError(
                f'{path} exists: give --force to replace it, or another '
                '--out.')


def write_annotations(annotations: Annotations, out: str, prefix: str,
                      ext: str) -> None:
    """Write the lists and further files.

    Lines of a list are ``PREFIX/NAME.EXT LABEL``, for MMAction2's
    ``VideoDataset``.

    Args:
        annotations: What to write.
        out: Folder, made if missing.
        prefix: Folder of the videos below the data root; may be empty.
        ext: Suffix of the videos, without a dot.

    Raises:
        OSError: A file cannot be written; then none is.
    """
    folder = f'{prefix}/' if prefix else ''
    contents = {
        f'{split.name}.txt': [f'{folder}{clip.name}.{ext} {clip.label}'
                              for clip in split.clips]
        for split in annotations.splits} | annotations.files
    with contextlib.ExitStack() as stack:
        # Files take their places when all of them are complete.
        for name, lines in contents.items():
            file = stack.enter_context(
                write_atomically(os.path.join(out, name)))
            file.writelines(f'{line}\n' for line in lines)
            file.flush()


def write_report(path: str, lines: list[str]) -> None:
    """Write a report, or remove that of an earlier run if it is empty."""
    if lines:
        write_lines(path, lines)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
