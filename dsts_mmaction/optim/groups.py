"""The parameter groups of DSTS in the main optimizer.

They are told apart by ``name``, and keep the learning rate they begin with as
``configured_lr``: what schedulers and ``--auto-scale-lr`` start from.
"""
import logging
from typing import Any

from mmengine.logging import print_log
from torch.optim import Optimizer

from ..dsts.parameters import Role

KERNEL_GROUP = 'dsts_kernels'
#: It stays, empty, when UpstreamDownstreamHook trains its parameters: the
#: schedulers of both kinds of run then hold the same number of groups.
UPSTREAM_GROUP = 'dsts_upstream'

#: The group of each role.
GROUPS = {
    Role.COMMON: KERNEL_GROUP,
    Role.PRIVATE: 'dsts_own_kernels',
    Role.NORM: 'dsts_norms',
    Role.UPSTREAM: UPSTREAM_GROUP,
}


def upstream_group(optimizer: Optimizer) -> dict[str, Any] | None:
    """The group in an optimizer, None if there is none."""
    return _find(optimizer.param_groups)


def kernel_learning_rate(optimizer: Optimizer) -> float:
    """The present learning rate of kernels and readout, 0 if frozen."""
    return max((group['lr'] for group in optimizer.param_groups
                if group.get('name') == KERNEL_GROUP), default=0.0)


def schedule_factor(optimizer: Optimizer) -> float:
    """The present learning rate as a multiple of the configured one.

    Args:
        optimizer: One that has an upstream group.
    """
    # Both of the group: a resume restores both as they were.
    group = upstream_group(optimizer)
    if group['configured_lr'] == 0:  # lr_mult=0: nothing to follow
        return 1.0
    return group['lr'] / group['configured_lr']


def empty_upstream_group(optimizer: Optimizer) -> None:
    """Take the parameters out of the group, for whom trains them instead."""
    group = upstream_group(optimizer)
    for name in {'params', 'param_names'} & {*(group or ())}:
        group[name] = []


def convert_upstream_group(
        optimizer: Optimizer,
        state_dict: dict[str, Any]) -> dict[str, Any] | None:
    """Make a saved optimizer state fit, joint run or UDL run.

    A hook before ``load_state_dict`` of the optimizer. A joint run's state
    has upstream parameters in the group; that of a run with
    UpstreamDownstreamHook has none.

    Args:
        optimizer: The optimizer about to load the state.
        state_dict: The state. It is not changed.

    Returns:
        The converted state, None if it fits as it is.
    """
    own = _find(optimizer.param_groups)
    saved = _find(state_dict['param_groups'])
    if own is None or saved is None:
        return None
    if len(own['params']) == len(saved['params']):
        return None
    state = dict(state_dict['state'])
    groups = [dict(group) for group in state_dict['param_groups']]
    group = _find(groups)
    if not own['params']:
        for index in group['params']:
            state.pop(index, None)
        group['params'] = []
        message = ('The checkpoint is of a joint run: the state of its '
                   f'parameter group {UPSTREAM_GROUP!r} was left out of the '
                   'main optimizer, and the optimizer of '
                   'UpstreamDownstreamHook starts afresh.')
    elif not saved['params']:
        used = [index for g in groups for index in g['params']]
        first = max(used, default=-1) + 1
        group['params'] = list(range(first, first + len(own['params'])))
        message = ('The checkpoint is of a run with UpstreamDownstreamHook: '
                   'the upstream parameters joined the main optimizer as '
                   f'parameter group {UPSTREAM_GROUP!r}, without a state.')
    else:
        return None
    if 'param_names' in group:
        group['param_names'] = list(own['param_names'])
    print_log(message, logger='current', level=logging.WARNING)
    return dict(state_dict, state=state, param_groups=groups)


def _find(groups: list) -> dict[str, Any] | None:
    for group in groups:
        if group.get('name') == UPSTREAM_GROUP:
            return group
    return None
