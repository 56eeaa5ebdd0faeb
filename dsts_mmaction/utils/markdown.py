"""Tables and documents in Markdown."""
from pathlib import Path

from .atomic import write_text


def markdown_table(rows: list[list[str]]) -> str:
    """A Markdown table of rows of text, header first.

    The first column is aligned left, the others right.
    """
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, '| :-- |' + ' --: |' * (len(rows[0]) - 1))
    return '\n'.join(lines) + '\n'


def write_document(text: str, path: Path | None) -> None:
    """Write a text to a file in one step, or print it if there is none."""
    if path is None:
        print(text)
    else:
        write_text(path, text)
