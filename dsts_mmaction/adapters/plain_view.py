"""Another name of :mod:`~dsts_mmaction.adapters.specialized`."""
from .specialized import (
    dsts_modules,
    plain_state_dict,
    trainable_dsts_modules,
    unspecialized,
)

__all__ = [
    'dsts_modules', 'plain_state_dict', 'trainable_dsts_modules',
    'unspecialized'
]
