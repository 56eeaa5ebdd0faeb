"""Turn the config of a plain recognizer into that of a specialized one."""
import copy
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config

from ..dsts import DSTSModule
from .placement import placement

# As in configs/_base_/upstream_downstream.py.
UDL_OPTIMIZER = dict(type='AdamW', lr=1e-3)


def specialize_config(cfg: Config,
                      dsts: dict[str, Any] | None = None,
                      udl: int | None = None,
                      udl_options: dict[str, Any] | None = None,
                      place: dict[str, Any] | None = None) -> Config:
    """Specialize a recognizer, as the configs ``dsts-*`` and ``dsts-udl-*``.

    Args:
        cfg: The plain recognizer's config, left as it is.
        dsts: Options of :class:`dsts_mmaction.models.DSTSModule`.
        udl: Order of Upstream-Downstream Learning; None for joint training.
        udl_options: Further options of UpstreamDownstreamHook.
        place: Where the module goes, from :func:`placement` by default.

    Returns:
        A config with the head in DSTSHead, the optimizer's constructor in
        DSTSOptimWrapperConstructor and, with ``udl``, one hook more.

    Raises:
        ValueError: As :func:`placement`, or ``udl`` for a config that does
            not train.
    """
    options = placement(cfg) if place is None else place
    cfg = copy.deepcopy(cfg)
    cfg.model.cls_head = dict(
        type='DSTSHead', head=cfg.model.cls_head, dsts=dict(dsts or {}),
        **options)

    optim = cfg.get('optim_wrapper')
    if optim is not None:
        paramwise = dict(optim.get('paramwise_cfg') or {})
        paramwise['constructor'] = optim.get(
            'constructor', 'DefaultOptimWrapperConstructor')
        optim.constructor = 'DSTSOptimWrapperConstructor'
        optim.paramwise_cfg = paramwise
    elif udl is not None:
        raise ValueError(f'udl is {udl}, but the config has no '
                         'optim_wrapper: it does not train.')

    if udl is not None:
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []), {
                'type': 'UpstreamDownstreamHook',
                'optimizer': dict(UDL_OPTIMIZER),
                'order': udl,
                **(udl_options or {})
            }
        ]
    import_package(cfg)
    return cfg


def count_parameters(dsts: dict[str, Any], channels: Sequence[int]) -> int:
    """Trained parameters that DSTS adds.

    Args:
        dsts: Options of :class:`dsts_mmaction.models.DSTSModule`.
        channels: Of the feature maps, a module each.

    Raises:
        ValueError: An option is out of its range.
    """
    with torch.device('meta'):
        modules = [DSTSModule(count, **dsts) for count in channels]
    return sum(p.numel() for module in modules for p in module.parameters()
               if p.requires_grad)


def import_package(cfg: Config) -> None:
    """Make a config import this package, in place."""
    imports = dict(cfg.get('custom_imports') or {})
    names = imports.get('imports', [])
    names = [names] if isinstance(names, str) else list(names)
    if 'dsts_mmaction' not in names:
        names.append('dsts_mmaction')
    cfg.custom_imports = dict(
        imports=names,
        allow_failed_imports=imports.get('allow_failed_imports', False))
