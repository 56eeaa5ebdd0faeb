"""Write a config as what it changes of the one that it inherits from."""
import functools
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode

from ..utils.atomic import write_text
from ..utils.configs import SCOPE, differing_options, find_config

STYLE = dict(based_on_style='pep8',
             blank_line_before_nested_class_or_def=True,
             split_before_expression_after_opening_paren=True)


def base_reference(name: str, folder: str | Path) -> str:
    """How a config in ``folder`` names ``name`` as its base."""
    if '::' not in name:
        return Path(os.path.relpath(name, folder)).as_posix()
    # Two entries of mmaction2 1.2.0's metafiles lack the suffix .py, and
    # MMEngine goes by them. A path with a dot is none of its entries.
    return name if _is_base(name) else name.replace('/', '/./', 1)


def load_as_base(name: str) -> Config:
    """A config as one that inherits from it sees it.

    Raises:
        ValueError: There is no such config, or it is no config.
    """
    find_config(name)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return _inheriting(base_reference(name, folder), folder)
        except (SyntaxError, OSError) as error:  # OSError: not a .py, …
            raise ValueError(f'config {name!r} cannot be read: '
                             f'{error}') from error


def _inheriting(reference: str, folder: str) -> Config:
    path = Path(folder) / 'inheriting.py'
    path.write_text(f'_base_ = {reference!r}\n')
    return Config.fromfile(path)


@functools.cache
def _is_base(reference: str) -> bool:
    """Whether MMEngine finds a base by its name in an installed package."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _inheriting(reference, folder)
        except FileNotFoundError:
            return False
    return True


def inheriting_text(reference: str, base: Config, cfg: Config,
                    comment: str) -> str:
    """Python text of a config.

    Args:
        reference: Its ``_base_``.
        base: That config, from :func:`load_as_base`.
        cfg: What the text is to give.
        comment: First lines, without ``#``.
    """
    changes, _ = _changes(base.to_dict(), cfg.to_dict(), '_base_')
    body = ''.join(f'{key} = {text}\n' for key, text in changes.items())
    body, _ = FormatCode(body, style_config=STYLE)
    # An empty line between the parts, as in MMAction2's configs.
    body = re.sub(r'\n(?=[a-z_]+ = )', '\n\n', body)
    head = ''.join(f'# {line}\n' for line in comment.splitlines())
    return f'{head}_base_ = {reference!r}\n\n{body.lstrip()}'


def write_inheriting(path: str | Path, name: str, base: Config,
                     cfg: Config, comment: str) -> None:
    """Write a config that inherits from ``name``, whole or not at all.

    Args:
        path: Where to.
        name: Path of its base, or ``PACKAGE::FILE``.
        base: The base, from :func:`load_as_base`.
        cfg: What the written config is to give.
        comment: Its first lines, without ``#``.

    Raises:
        RuntimeError: The text does not give ``cfg``; nothing is written.
    """
    folder = Path(path).resolve().parent
    text = inheriting_text(base_reference(name, folder), base, cfg, comment)
    folder.mkdir(parents=True, exist_ok=True)
    # In the same folder, where a relative base is found.
    handle, trial = tempfile.mkstemp(suffix='.py', dir=folder)
    os.close(handle)
    try:
        Path(trial).write_text(text, encoding='utf-8')
        wrong = differing_options(Config.fromfile(trial).to_dict(),
                                  cfg.to_dict())
    finally:
        os.remove(trial)
    wrong = [option for option in wrong if option.split('.')[-1] != SCOPE]
    if wrong:
        raise RuntimeError(f'{path} would differ from what it is to be in '
                           f'{", ".join(wrong)}.')
    write_text(path, text)


def _changes(base: dict[str, Any], new: dict[str, Any],
             name: str) -> tuple[dict[str, str], bool]:
    """Texts of the keys that differ, and whether the others must go."""
    deletes = bool({*base} - {*new} - {SCOPE})
    texts = {}
    for key, value in new.items():
        old = base.get(key)
        if key == SCOPE or (not deletes and key in base and value == old):
            continue
        if deletes:
            # What stood here may be inside what stands here now.
            texts[key] = _expression(value, base, name)
        elif isinstance(old, dict) and isinstance(value, dict):
            inner, replaces = _changes(old, value, f'{name}.{key}')
            if replaces:
                inner = {'_delete_': 'True', **inner}
            texts[key] = _call(inner)
        else:
            texts[key] = _expression(value, old, f'{name}.{key}')
    return texts, deletes


def _expression(value: Any, reference: Any, name: str) -> str:
    """Text of a value, in terms of another that has a name if it helps."""
    if isinstance(value, dict):
        if isinstance(reference, dict) and _extends(value, reference):
            if value == reference:
                return name
            changed = {
                key: _expression(item, reference.get(key), f'{name}.{key}')
                for key, item in value.items()
                if key not in reference or item != reference[key]}
            return _call(changed, first=name)
        return _call({key: _expression(item, None, '')
                      for key, item in value.items() if key != SCOPE})
    if isinstance(value, (list, tuple)):
        return _sequence(value, reference, name)
    return repr(value)


def _sequence(value: Any, reference: Any, name: str) -> str:
    if not isinstance(reference, (list, tuple)):
        reference = ()
    start, end = _shared_ends(value, reference)
    old = reference[start:len(reference) - end]
    new = value[start:len(value) - end]
    items = [
        _expression(item, old[i] if len(old) == len(new) else None,
                    f'{name}[{start + i}]') for i, item in enumerate(new)]
    if start:
        shared = '' if start == len(reference) else f'[:{start}]'
        items.insert(0, f'*{name}{shared}')
    if end:
        items.append(f'*{name}[{len(reference) - end}:]')
    if isinstance(value, tuple):
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    return f"[{', '.join(items)}]"


def _shared_ends(value: Sequence[Any],
                 reference: Sequence[Any]) -> tuple[int, int]:
    """How many items two lists share at the start, and at the end."""
    most = min(len(value), len(reference))
    start = next((i for i in range(most) if value[i] != reference[i]), most)
    end = next((i for i in range(most - start)
                if value[-1 - i] != reference[-1 - i]), most - start)
    return start, end


def _extends(value: dict[str, Any], reference: dict[str, Any]) -> bool:
    """Whether a dict has all keys of another and is of the same type."""
    return (bool(reference) and {*reference} <= {*value}
            and value.get('type') == reference.get('type'))


def _call(items: dict[Any, str], first: str | None = None) -> str:
    """``dict(first, key=text, …)``, in braces where a key is no name."""
    if all(isinstance(key, str) and key.isidentifier() for key in items):
        parts = ([first] if first else []) + [
            f'{key}={text}' for key, text in items.items()]
        return f"dict({', '.join(parts)})"
    parts = ([f'**{first}'] if first else []) + [
        f'{key!r}: {text}' for key, text in items.items()]
    return f"{{{', '.join(parts)}}}"
