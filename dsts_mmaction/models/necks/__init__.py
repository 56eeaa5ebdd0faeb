from .dsts_neck import DSTSNeck

__all__ = ['DSTSNeck']
