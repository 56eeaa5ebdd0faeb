"""Who is calling: for what the hosts build without telling it where."""
import sys
from typing import TypeVar

T = TypeVar('T')


def calling(kind: type[T], method: str | None = None) -> T | None:
    """The nearest object of a type that has a method on the call stack.

    MMEngine and MMAction2 build parts one after the other and tell none of
    them about the others. The call stack does, and lets a wrong combination
    be an error when it is built.

    Args:
        kind: Type of the object.
        method: Name of the method; any, by default.
    """
    frame = sys._getframe(1)
    while frame is not None:
        candidate = frame.f_locals.get('self')
        if (isinstance(candidate, kind)
                and method in (None, frame.f_code.co_name)):
            return candidate
        frame = frame.f_back
    return None
