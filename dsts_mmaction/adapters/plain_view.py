"""See a specialized model as the plain one it was made from."""
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ..deploy.fused_module import DeployedDSTSModule
from ..dsts import DSTSModule


@contextmanager
def unspecialized(model: nn.Module) -> Iterator[nn.Module]:
    """Take every DSTS adapter out of a model for the time of a block.

    Adapters (DSTSHead, DSTSNeck) say by ``unspecialized()`` what stands in
    their place in the plain model; in that of a DSTS module elsewhere,
    inside a backbone, there is nothing. Inside the block, parameters, their
    order and their names are those of the plain model, so that rules of the
    host which go by order or name apply to it as always.
    """
    replaced = []

    def replace(parent: nn.Module) -> None:
        for name, child in list(parent.named_children()):
            plain = child
            if hasattr(child, 'unspecialized'):
                plain = child.unspecialized()
            elif isinstance(child, DSTSModule):
                plain = nn.Identity()
            else:
                replace(child)
            if plain is not child:
                replaced.append((parent, name, child))
                setattr(parent, name, plain)

    try:
        replace(model)
        yield model
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)


def dsts_modules(model: nn.Module) -> Iterator[DSTSModule]:
    """All DSTS modules of a model, in order."""
    return (m for m in model.modules() if isinstance(m, DSTSModule))


def trainable_dsts_modules(model: nn.Module) -> list[DSTSModule]:
    """All DSTS modules of a model that has some.

    Raises:
        ValueError: It has none, or deployed ones.
    """
    if any(isinstance(m, DeployedDSTSModule) for m in model.modules()):
        raise ValueError('the recognizer is deployed already: give the '
                         'config that it was deployed from.')
    modules = list(dsts_modules(model))
    if not modules:
        raise ValueError('the recognizer has no DSTS module: give the config '
                         'of a specialized one.')
    return modules


def plain_state_dict(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the plain recognizer inside a specialized one.

    Args:
        state_dict: Of a recognizer with DSTSHead or DSTSNeck, under any
            prefix (an averaged model's, or that of DDP).

    Returns:
        The same tensors under the plain recognizer's names, without those of
        DSTS.

    Raises:
        ValueError: Nothing in it is of DSTSHead or DSTSNeck.
    """
    first = 'dsts.0.reduce.weight'
    adapters = [name[:-len(first)] for name in state_dict
                if name.endswith(f'.{first}')]
    if not adapters:
        raise ValueError('the state dict has no parameters of DSTSHead or '
                         'DSTSNeck: it is not that of a specialized '
                         'recognizer.')
    plain = {}
    for name, value in state_dict.items():
        if any(name.startswith(f'{adapter}dsts.') for adapter in adapters):
            continue
        for adapter in adapters:
            if name.startswith(f'{adapter}head.'):
                name = adapter + name[len(f'{adapter}head.'):]
        plain[name] = value
    return plain
