"""What a head or neck can know of the recognizer it is built into."""
import difflib
import sys

from mmaction.models.recognizers.base import BaseRecognizer
from torch import nn


def recognizer_under_construction() -> BaseRecognizer | None:
    """The recognizer whose ``__init__`` is building the caller, if any.

    It is found on the call stack: MMAction2 builds a recognizer's parts one
    after the other and tells none of them about the others, a module has no
    way to its parent, and no hook of the host runs between construction and
    the first forward of a model that is only built and called. So a place
    inside the backbone (``layer``) cannot be reached otherwise, and a wrong
    combination would be an error in the first forward rather than here.
    """
    frame = sys._getframe(1)
    while frame is not None:
        candidate = frame.f_locals.get('self')
        if (isinstance(candidate, BaseRecognizer)
                and frame.f_code.co_name == '__init__'):
            return candidate
        frame = frame.f_back
    return None


def backbone_name(recognizer: BaseRecognizer | None) -> str:
    """Class name of a recognizer's backbone, for error messages."""
    backbone = getattr(recognizer, 'backbone', None)
    return '(unknown)' if backbone is None else type(backbone).__name__


def backbone_layer(recognizer: BaseRecognizer | None,
                   layer: str) -> nn.Module:
    """The backbone's submodule of a name.

    Raises:
        ValueError: There is none.
    """
    if recognizer is None:
        raise ValueError(f'layer={layer!r} of DSTSHead needs a recognizer '
                         'around the head.')
    try:
        return recognizer.backbone.get_submodule(layer)
    except AttributeError as error:
        names = [name for name, _ in recognizer.backbone.named_modules()]
        close = difflib.get_close_matches(layer, names, n=3, cutoff=0)
        raise ValueError(
            f'layer={layer!r} of DSTSHead is no layer of backbone '
            f'{backbone_name(recognizer)}; it has, among others, '
            f'{", ".join(close)}.') from error
