"""JSON files that people write and name."""
import json
from pathlib import Path
from typing import Any


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: It is not JSON.
        OSError: It cannot be read.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}.') from error
