"""Finished runs of a study, kept with the settings that they share."""
import json
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..utils.atomic import write_json, write_lines
from ..version import __version__
from .variants import Variant, module_defaults


class RunLog:
    """``OUT/results.jsonl``, one run a line, beside ``OUT/settings.json``.

    A study that is started again goes on where it was, and never mixes runs
    that were made in different ways. Several processes may add runs, as of
    other seeds, at once.

    Args:
        out: Directory of both files; made if it is not there.
        settings: What all runs share, by option, as JSON.
        variants: Those that may be looked up or added.

    Attributes:
        rows: All runs, the oldest first.

    Raises:
        ValueError: The runs in ``out`` have other settings, or a variant of
            the same name with other options.
    """

    def __init__(self, out: Path, settings: dict[str, Any],
                 variants: list[Variant]) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._path = out / 'results.jsonl'
        self._lock = FileLock(out / '.lock')
        # Defaults may change between versions, and titles do not show them.
        settings = dict(settings, defaults=module_defaults(),
                        version=__version__)
        with self._lock:
            self.rows = self._read()
            self._check_settings(out / 'settings.json', settings)
        titles = {variant.name: variant.title for variant in variants}
        for row in self.rows:
            title = titles.get(row['variant'], row['options'])
            if title != row['options']:
                raise ValueError(
                    f'variant {row["variant"]} is {row["options"]!r} in '
                    f'{self._path}, got {title!r}: give it another name.')

    def append(self, variant: Variant, row: dict[str, Any]) -> None:
        """Add a run of a variant; the file is whole at any time."""
        with self._lock:
            self.rows = self._read()
            self.rows.append(
                dict(row, variant=variant.name, options=variant.title))
            write_lines(self._path, map(json.dumps, self.rows))

    def _read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in
                self._path.read_text(encoding='utf-8').splitlines()]

    def _check_settings(self, path: Path, settings: dict[str, Any]) -> None:
        if not path.exists() and not self.rows:
            write_json(path, settings)
            return
        known = (json.loads(path.read_text(encoding='utf-8'))
                 if path.exists() else {})
        for name, value in settings.items():
            if known.get(name) != value:
                raise ValueError(
                    f'{name} is {known.get(name)!r} in {path}, got {value!r}: '
                    'give another --out.')
