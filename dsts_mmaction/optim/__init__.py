"""Which parameter is in which group of the optimizer."""
from .constructor import DSTSOptimWrapperConstructor
from .upstream_group import (
                             UPSTREAM_GROUP,
                             convert_upstream_group,
                             upstream_group,
)

__all__ = [
    'DSTSOptimWrapperConstructor', 'UPSTREAM_GROUP', 'convert_upstream_group',
    'upstream_group'
]
