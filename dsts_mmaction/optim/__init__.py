"""Which parameter is in which group of the optimizer."""
from .constructor import DSTSOptimWrapperConstructor

__all__ = ['DSTSOptimWrapperConstructor']
