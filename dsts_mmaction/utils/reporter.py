"""Progress of long work, in a terminal and in a log."""
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Reporter:
    """Progress as a bar in a terminal, as a line now and then elsewhere.

    Args:
        console: Where to print.
        name: What is going on.
        total: Number of units of work; 0 if unknown.
        seconds: Without a terminal, a line is printed this often.
    """

    def __init__(self, console: Console, name: str, total: int,
                 seconds: float = 20.0) -> None:
        self.console, self.name, self.total = console, name, total
        self.seconds = seconds
        self._next_line = time.monotonic() + seconds
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn('{task.description}'),
                BarColumn(),
                TextColumn('{task.fields[note]}'),
                TimeElapsedColumn(),
                console=console)
            self._task = self._progress.add_task(
                name, total=total or None, note='starting')

    def __enter__(self) -> 'Reporter':
        if self._progress:
            self._progress.start()
        else:
            self.console.print(f'{self.name} …')
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, done: int, note: str) -> None:
        """Show that ``done`` units are done, with a remark."""
        if self._progress:
            self._progress.update(self._task, completed=done, note=note)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + self.seconds
            self.console.print(
                f'  {note}', highlight=False, markup=False, soft_wrap=True)
