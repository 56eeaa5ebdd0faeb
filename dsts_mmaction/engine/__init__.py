"""What trains a specialized recognizer."""
from .optimizers import DSTSOptimWrapperConstructor

__all__ = ['DSTSOptimWrapperConstructor']
