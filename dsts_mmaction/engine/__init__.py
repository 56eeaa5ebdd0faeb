"""The names that imports of users know; they live elsewhere."""
from ..optim import DSTSOptimWrapperConstructor
from ..udl import UpstreamDownstreamHook

__all__ = ['DSTSOptimWrapperConstructor', 'UpstreamDownstreamHook']
