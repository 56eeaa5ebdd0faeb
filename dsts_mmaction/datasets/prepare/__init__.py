"""From official annotation files to MMAction2's annotation lists.

One module per data set reads its files and checks every record; the others
look for the videos, write the lists and count what is in them.
"""

from .annotations import Annotations, Clip, Split
from .counts import count_table
from .diving48 import read_diving48
from .finegym import read_finegym
from .sthv2 import read_sthv2
from .videos import find_missing, find_unreadable
from .writing import check_free, write_annotations, write_report

__all__ = [
    'Annotations', 'Clip', 'Split', 'check_free', 'count_table',
    'find_missing', 'find_unreadable', 'read_diving48', 'read_finegym',
    'read_sthv2', 'write_annotations', 'write_report'
]
