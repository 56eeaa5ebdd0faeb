"""What a head or neck can know of the recognizer it is built into."""
import sys
from typing import Optional

from mmaction.models.recognizers.base import BaseRecognizer


def recognizer_under_construction() -> Optional[BaseRecognizer]:
    """The recognizer whose ``__init__`` is building the caller, if any.

    MMAction2 builds backbone, neck and head one after the other and tells
    none of them about the others. The call stack does, and lets a wrong
    combination be an error when the model is built.
    """
    frame = sys._getframe(1)
    while frame is not None:
        candidate = frame.f_locals.get('self')
        if (isinstance(candidate, BaseRecognizer)
                and frame.f_code.co_name == '__init__'):
            return candidate
        frame = frame.f_back
    return None


def backbone_name(recognizer: Optional[BaseRecognizer]) -> str:
    """Class name of a recognizer's backbone, for error messages."""
    backbone = getattr(recognizer, 'backbone', None)
    return '(unknown)' if backbone is None else type(backbone).__name__
