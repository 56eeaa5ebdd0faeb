"""The version of this package.

It goes up with every change of what a training comes to: benchmarks do not
mix runs of two versions.
"""

__version__ = '0.3.0'
