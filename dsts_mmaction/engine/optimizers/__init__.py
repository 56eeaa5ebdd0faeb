from .dsts_optim_wrapper_constructor import DSTSOptimWrapperConstructor

__all__ = ['DSTSOptimWrapperConstructor']
