"""A recognizer of a config and a checkpoint, trained or deployed."""
import copy
import textwrap
from pathlib import Path
from typing import Any

from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from ..adapters.specialized import (
    adapter_configs,
    is_deployed,
    plain_state_dict,
)
from ..utils.checkpoints import read_checkpoint, unwrapped
from ..utils.configs import without_weights


def deploy_config(cfg: Config) -> Config:
    """A config with ``deployed=True`` in the options of every DSTS adapter.

    Args:
        cfg: Config of a specialized recognizer, left as it is.

    Raises:
        ValueError: The recognizer has no DSTSHead or DSTSNeck, or is the
            deployed form already.
    """
    cfg = copy.deepcopy(cfg)
    adapters = adapter_configs(cfg).values()
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


def build_recognizer(cfg: Config) -> nn.Module:
    """The recognizer of a config, in evaluation, without its checkpoint."""
    return MODELS.build(copy.deepcopy(without_weights(cfg).model)).eval()


def load_specialized(cfg: Config, checkpoint: str | Path
                     ) -> tuple[nn.Module, dict[str, Any]]:
    """A specialized recognizer with its weights.

    Args:
        cfg: Its config.
        checkpoint: Its checkpoint; of one with EMAHook, the averaged weights
            count, as for MMAction2's test.py.

    Returns:
        The recognizer in evaluation, and the checkpoint's meta data.

    Raises:
        ValueError: The checkpoint is that of something else.
        OSError: It cannot be read.
    """
    loaded = read_checkpoint(checkpoint)
    state = unwrapped(loaded['state_dict'])
    try:
        plain_state_dict(state)
    except ValueError as error:
        raise ValueError(f'{checkpoint}: {error}') from error
    if is_deployed(state):
        raise ValueError(f'{checkpoint} is that of a deployed recognizer; '
                         'give the one that was trained.')
    model = build_recognizer(cfg)
    load_strictly(model, state, str(checkpoint))
    return model, loaded.get('meta') or {}


def load_strictly(model: nn.Module, state: dict[str, Tensor],
                  name: str) -> None:
    """Load a state dict that has to fit.

    Raises:
        ValueError: It does not.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        # The first line is a title, the second may name every parameter.
        reason = ' '.join(str(error).splitlines()[1:])
        raise ValueError(f'{name} does not fit the config: '
                         f'{textwrap.shorten(reason, 300)}') from error
