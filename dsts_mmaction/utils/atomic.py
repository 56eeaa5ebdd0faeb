"""Write files whole or not at all."""
import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def write_atomically(path: str | Path,
                     mode: str = 'w') -> Iterator[IO]:
    """Open a file that takes its place at ``path`` once it is complete.

    Directories are made. After an error, whatever was at ``path`` is still
    there.

    Args:
        path: Where the file is to be.
        mode: ``'w'`` (UTF-8) or ``'wb'``.
    """
    path = os.fspath(path)
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    part = f'{path}.{os.getpid()}.part'
    try:
        encoding = None if 'b' in mode else 'utf-8'
        with open(part, mode, encoding=encoding) as file:
            yield file
        os.replace(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)


def write_text(path: str | Path, text: str) -> None:
    """Write a text, whole or not at all."""
    with write_atomically(path) as file:
        file.write(text)


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines, given without their ends, whole or not at all."""
    write_text(path, ''.join(f'{line}\n' for line in lines))


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_text(path, json.dumps(value) + '\n')
