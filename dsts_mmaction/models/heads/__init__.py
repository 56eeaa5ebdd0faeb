from .dsts_head import DSTSHead

__all__ = ['DSTSHead']
