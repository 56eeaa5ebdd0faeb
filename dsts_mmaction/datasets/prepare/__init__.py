"""From official annotation files to MMAction2's annotation lists.

One module per data set reads its files and checks every record; the others
look for the videos, write the lists and count what is in them.
"""

from .diving48 import read_diving48
from .finegym import read_finegym
from .sthv2 import read_sthv2

__all__ = ['read_diving48', 'read_finegym', 'read_sthv2']
