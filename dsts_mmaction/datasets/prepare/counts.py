"""How many clips and classes the lists have."""

from collections import Counter
from collections.abc import Sequence

from .annotations import Split

HEADER = ['Split', 'Clips', 'Classes present', 'Fewest per class',
          'Most per class']


def count_table(splits: Sequence[Split]) -> list[list[str]]:
    """Rows of text, header first.

    The fewest clips are those of a class that is present.
    """
    rows = [HEADER]
    for split in splits:
        counts = Counter(clip.label for clip in split.clips).values()
        rows.append([
            split.name, str(len(split.clips)),
            f'{len(counts)} of {split.num_classes}',
            str(min(counts)), str(max(counts))])
    return rows
