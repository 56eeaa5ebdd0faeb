"""What a head or neck can know of the recognizer it is built into."""

from mmaction.models.recognizers.base import BaseRecognizer

from .callers import calling


def recognizer_under_construction() -> BaseRecognizer | None:
    """The recognizer whose ``__init__`` is building the caller, if any."""
    return calling(BaseRecognizer, '__init__')


def backbone_name(recognizer: BaseRecognizer | None) -> str:
    """Class name of a recognizer's backbone, for error messages."""
    backbone = getattr(recognizer, 'backbone', None)
    return '(unknown)' if backbone is None else type(backbone).__name__
