"""The config that builds the deployed form of a recognizer."""
import copy
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

ADAPTERS = ('DSTSHead', 'DSTSNeck')


def deploy_config(cfg: Config) -> Config:
    """A config with ``deployed=True`` in the options of every DSTS adapter.

    Args:
        cfg: Config of a specialized recognizer, left as it is.

    Raises:
        ValueError: The recognizer has no DSTSHead or DSTSNeck, or is the
            deployed form already.
    """
    cfg = copy.deepcopy(cfg)
    adapters = list(_adapters(cfg.model))
    if not adapters:
        raise ValueError('it has no DSTSHead and no DSTSNeck; give that of a '
                         'specialized recognizer, as tools/specialize.py '
                         'writes it.')
    for adapter in adapters:
        options = adapter.get('dsts') or {}
        if options.get('deployed'):
            raise ValueError('it is that of a deployed recognizer '
                             '(deployed=True) already; give the one that it '
                             'was trained with.')
        adapter['dsts'] = dict(options, deployed=True)
    return cfg


def _adapters(node: Any) -> Iterator[dict[str, Any]]:
    """Configs of DSTS adapters anywhere in a recognizer's config."""
    if isinstance(node, dict):
        if str(node.get('type')).rpartition('.')[2] in ADAPTERS:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _adapters(child)
