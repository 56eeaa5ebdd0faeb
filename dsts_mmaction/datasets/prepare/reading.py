"""Reading annotation files, with errors that name the file."""

import json
import os
from collections.abc import Sequence
from typing import Any


def find_file(folder: str, names: Sequence[str], hint: str = '') -> str:
    """The first of several names that a folder has.

    Args:
        folder: Where to look.
        names: Names that the file goes by, first choice first.
        hint: What else the user can do, appended to the error.

    Raises:
        ValueError: There is none of them.
    """
    path = find_optional_file(folder, names)
    if path is None:
        raise ValueError(
            f"--annotations {folder} has no {' or '.join(names)}{hint}.")
    return path


def find_optional_file(folder: str, names: Sequence[str]) -> str | None:
    """Like :func:`find_file`, None where there is none."""
    paths = (os.path.join(folder, name) for name in names)
    return next(filter(os.path.isfile, paths), None)


def read_lines(path: str) -> list[str]:
    """The lines of a text file, without line ends.

    Raises:
        ValueError: It cannot be read.
    """
    return _read_text(path).splitlines()


def read_json(path: str) -> Any:
    """The value of a JSON file.

    Raises:
        ValueError: It cannot be read, is not JSON, or has a key twice.
    """
    text = _read_text(path)
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(key for key in value if keys.count(key) > 1)
        return value

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON: {error}.') from None
    if twice:
        raise ValueError(f'{path} has the key {describe(twice[0])} twice.')
    return value


def read_records(path: str, *keys: str) -> list[tuple[Any, ...]]:
    """Place, such as ``'record 3'``, and the named fields of each record.

    Raises:
        ValueError: The file does not hold a JSON list of objects with these
            keys.
    """
    records = read_json(path)
    if not isinstance(records, list):
        raise ValueError(f'{path} must hold a JSON list of records, got '
                         f'{describe(records)}.')
    for i, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(f'{path}, record {i} must be a JSON object, got '
                             f'{describe(record)}.')
        for key in keys:
            if key not in record:
                raise ValueError(f'{path}, record {i} has no {key!r}.')
    return [(f'record {i}', *(record[key] for key in keys))
            for i, record in enumerate(records, 1)]


def describe(value: Any) -> str:
    """A value as it is shown in a message, in a few characters."""
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def _read_text(path: str) -> str:
    try:
        # Files that went through Windows may start with a mark.
        with open(path, encoding='utf-8-sig') as file:
            return file.read()
    except OSError as error:
        raise ValueError(f'{path} cannot be read: {error.strerror}.') from None
    except UnicodeDecodeError:
        raise ValueError(f'{path} is not a text file in UTF-8.') from None
