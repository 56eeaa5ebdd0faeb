"""What trains a specialized recognizer."""
from .hooks import UpstreamDownstreamHook
from .optimizers import DSTSOptimWrapperConstructor

__all__ = ['DSTSOptimWrapperConstructor', 'UpstreamDownstreamHook']
