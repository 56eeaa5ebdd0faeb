"""Tables in Markdown."""
from typing import List


def markdown_table(rows: List[List[str]]) -> str:
    """A Markdown table of rows of text, header first.

    The first column is aligned left, the others right.
    """
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, '| :-- |' + ' --: |' * (len(rows[0]) - 1))
    return '\n'.join(lines) + '\n'
