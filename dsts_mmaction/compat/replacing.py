"""Replacing a function of a host by one that calls it."""
import functools
import inspect
from collections.abc import Callable
from typing import Any


def replaces(owner: Any, name: str) -> Callable[[Callable], Callable]:
    """Decorate a function that takes the place of ``owner.name``.

    It is called with the original and then the arguments. What was replaced
    already stays as it is; ``__wrapped__`` of the new one is the original.

    Args:
        owner: A class or module.
        name: Of a method, static method or function.
    """

    def replace(function: Callable) -> Callable:
        original = getattr(owner, name)
        if getattr(original, '_dsts_compat', False):
            return function

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return function(original, *args, **kwargs)

        replacement._dsts_compat = True
        static = isinstance(inspect.getattr_static(owner, name), staticmethod)
        setattr(owner, name,
                staticmethod(replacement) if static else replacement)
        return function

    return replace
