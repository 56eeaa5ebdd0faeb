"""The DSTS module and what puts it into MMAction2's recognizers."""
from .dsts import DSTSModule
from .heads import DSTSHead
from .necks import DSTSNeck

__all__ = ['DSTSHead', 'DSTSModule', 'DSTSNeck']
