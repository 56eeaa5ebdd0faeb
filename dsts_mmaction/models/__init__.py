"""The names that configs and imports of users know; they live elsewhere."""
from ..adapters import DSTSHead, DSTSNeck
from ..dsts import DSTSModule

__all__ = ['DSTSHead', 'DSTSModule', 'DSTSNeck']
