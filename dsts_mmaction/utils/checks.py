"""Checks of options: one sentence with the option, its value, what may be."""
import math
from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a finite int or float, and no bool."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float holds
        return False


def check_count(option: str, value: Any, least: int = 1) -> None:
    """Check that an option is an integer of ``least`` or more.

    Raises:
        ValueError: It is not.
    """
    if (not isinstance(value, int) or isinstance(value, bool)
            or value < least):
        raise ValueError(f'{option} must be an integer of {least} or more, '
                         f'got {value!r}.')


def check_positive(option: str, value: Any) -> None:
    """Check that an option is a finite number greater than 0.

    Raises:
        ValueError: It is not.
    """
    if not is_number(value) or not value > 0:
        raise ValueError(f'{option} must be a number greater than 0, got '
                         f'{value!r}.')


def check_not_negative(option: str, value: Any) -> None:
    """Check that an option is a finite number of 0 or more.

    Raises:
        ValueError: It is not.
    """
    if not is_number(value) or value < 0:
        raise ValueError(f'{option} must be a number of 0 or more, got '
                         f'{value!r}.')


def check_flag(option: str, value: Any) -> None:
    """Check that an option is True or False.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, bool):
        raise ValueError(f'{option} must be True or False, got {value!r}.')
