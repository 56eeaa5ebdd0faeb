"""Which parameters decide, and which are decided about.

The DSTS paper (arXiv 2209.01425) trains *upstream* parameters, which decide,
apart from *downstream* ones, which are decided about. Which is which here,
and what is private to a neuron, is ours. The one place that knows.
"""
import enum

from torch import nn


class Role(enum.Enum):
    """What a parameter of a DSTS module is.

    Attributes:
        UPSTREAM: Of a synapse, or gate logits.
        PRIVATE: A neuron's own part, (N, ...), of kernels or of the readout's
            map, beside a part that all neurons share. A single neuron, and
            neurons that share nothing, have none.
        NORM: Scale or shift of a norm.
        COMMON: All other kernels and maps.
    """
    UPSTREAM = 'upstream'
    PRIVATE = 'private'
    NORM = 'norm'
    COMMON = 'common'


# What is private, and what is shared beside it.
_SHARED = dict(
    spatial_kernels='shared_spatial_kernel',
    temporal_kernels='shared_temporal_kernel',
    own_weights='linear.weight')


def parameter_roles(module: nn.Module) -> dict[str, Role]:
    """The role of each parameter of a DSTS module, by name.

    Args:
        module: A :class:`DSTSModule`.
    """
    names = dict(module.named_parameters())
    roles = {}
    for name, parameter in names.items():
        parent, _, last = name.rpartition('.')
        if '.synapse.' in name or last == 'gate_logits':
            roles[name] = Role.UPSTREAM
        elif f'{parent}.{_SHARED.get(last)}' in names:
            roles[name] = Role.PRIVATE
        elif parameter.dim() == 1:
            roles[name] = Role.NORM
        else:
            roles[name] = Role.COMMON
    return roles
