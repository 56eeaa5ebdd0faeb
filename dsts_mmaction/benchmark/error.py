"""What the benchmark says when it cannot go on."""
from collections.abc import Sequence
from typing import Any


class BenchmarkError(ValueError):
    """The benchmark cannot run like this; the message says what to change."""


def refuse_twice(option: str, values: Sequence[Any]) -> None:
    """Refuse an option that names something twice.

    Raises:
        BenchmarkError: It does.
    """
    twice = [value for value in values if list(values).count(value) > 1]
    if twice:
        raise BenchmarkError(f'{option} must name each once, got {twice[0]} '
                             f'{twice.count(twice[0])} times.')
