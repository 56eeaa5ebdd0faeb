"""See a specialized model as the plain one it was made from."""
from contextlib import contextmanager
from typing import Iterator

from torch import nn

from .dsts import DSTSModule


@contextmanager
def unspecialized(model: nn.Module) -> Iterator[nn.Module]:
    """Take every DSTS adapter out of a model for the time of a block.

    Adapters (DSTSHead, DSTSNeck) say by ``unspecialized()`` what stands in
    their place in the plain model. Inside the block, parameters, their order
    and their names are those of the plain model, so that rules of the host
    which go by order or name apply to it as always.
    """
    adapters = [(parent, name, child) for parent in model.modules()
                for name, child in parent.named_children()
                if hasattr(child, 'unspecialized')]
    for parent, name, child in adapters:
        setattr(parent, name, child.unspecialized())
    try:
        yield model
    finally:
        for parent, name, child in adapters:
            setattr(parent, name, child)


def dsts_modules(model: nn.Module) -> Iterator[DSTSModule]:
    """All DSTS modules of a model, in order."""
    return (m for m in model.modules() if isinstance(m, DSTSModule))
