"""Helpers of the tools."""
from .timing import Ratio, measure_ratio

__all__ = ['Ratio', 'measure_ratio']
