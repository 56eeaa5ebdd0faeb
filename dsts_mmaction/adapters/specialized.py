"""What a config, a model and a state dict with DSTS look like.

The one place that knows, and knows the way back to the plain recognizer.
"""
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from ..deploy.fused_module import DeployedDSTSModule
from ..dsts import DSTSModule

ADAPTERS = ('DSTSHead', 'DSTSNeck')
# Of an adapter's first module; only the deployed form has the bias.
_WEIGHT, _BIAS = 'dsts.0.reduce.weight', 'dsts.0.reduce.bias'


def adapter_configs(cfg: Config) -> dict[str, dict[str, Any]]:
    """Configs of DSTSHead and DSTSNeck, anywhere in a recognizer's config.

    Args:
        cfg: Config with a ``model``; the adapters' types may have a scope,
            as in ``'mmaction.DSTSHead'``.

    Returns:
        The configs themselves, not copies, by dotted name such as
        ``'model.cls_head'``; nothing for a plain recognizer.
    """
    return dict(_adapters(cfg.get('model'), 'model'))


def check_plain(cfg: Config) -> None:
    """Check that a config is that of a plain recognizer.

    Raises:
        ValueError: It has a DSTSHead or a DSTSNeck.
    """
    for name, adapter in adapter_configs(cfg).items():
        raise ValueError(f'{name} is a {_type(adapter)} already: give the '
                         'config of the plain recognizer.')


def plain_config(cfg: Config) -> Config:
    """The plain recognizer's config inside a specialized one's.

    Args:
        cfg: Left as it is.
    """
    cfg = copy.deepcopy(cfg)
    for part in ('cls_head', 'neck'):
        if _type(cfg.model.get(part)) in ADAPTERS:
            cfg.model[part] = cfg.model[part].get('head')
    return cfg


def _adapters(node: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if _type(node) in ADAPTERS:
        yield name, node
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    for key, child in children:
        yield from _adapters(child, f'{name}.{key}')


def _type(node: Any) -> str | None:
    """Name of the type that a config has, without a scope."""
    if not isinstance(node, dict):
        return None
    kind = node.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


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


def plain_head(recognizer: nn.Module) -> nn.Module:
    """A recognizer's own head, which DSTSHead may wrap."""
    return _plain(recognizer.cls_head)


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
            plain = _plain(child)
            if plain is child:
                replace(child)
            else:
                replaced.append((parent, name, child))
                setattr(parent, name, plain)

    try:
        replace(model)
        yield model
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)


def _plain(module: nn.Module) -> nn.Module:
    """What stands in a module's place in the plain model."""
    if hasattr(module, 'unspecialized'):
        return module.unspecialized()
    return nn.Identity() if isinstance(module, DSTSModule) else module


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
    adapters = [name.removesuffix(_WEIGHT) for name in state_dict
                if name.endswith(f'.{_WEIGHT}')]
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
                name = adapter + name.removeprefix(f'{adapter}head.')
        plain[name] = value
    return plain


def is_deployed(state_dict: dict[str, Tensor]) -> bool:
    """Whether a state dict is that of a deployed recognizer."""
    return any(name.endswith(f'.{_BIAS}') for name in state_dict)
