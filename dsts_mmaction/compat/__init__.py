"""What is broken in the host packages, and what carries it."""
from .hosts import TESTED, apply

__all__ = ['TESTED', 'apply']
