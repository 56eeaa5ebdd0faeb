"""What puts the DSTS module into MMAction2's recognizers."""
from .dsts_head import DSTSHead
from .dsts_neck import DSTSNeck

__all__ = ['DSTSHead', 'DSTSNeck']
