"""What a head or neck can know of the recognizer it is built into."""
from typing import Optional

from mmaction.models.recognizers.base import BaseRecognizer

from ..utils.callers import calling


def recognizer_under_construction() -> Optional[BaseRecognizer]:
    """The recognizer whose ``__init__`` is building the caller, if any."""
    return calling(BaseRecognizer, '__init__')


def backbone_name(recognizer: Optional[BaseRecognizer]) -> str:
    """Class name of a recognizer's backbone, for error messages."""
    backbone = getattr(recognizer, 'backbone', None)
    return '(unknown)' if backbone is None else type(backbone).__name__
