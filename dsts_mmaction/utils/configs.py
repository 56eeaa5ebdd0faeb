"""Reading, changing and comparing configs."""
import os
from typing import Any, Dict, List, Optional, Tuple

from mmengine.config import Config
from mmengine.utils import get_installed_path

# MMEngine marks with it what comes from the config of another package.
SCOPE = '_scope_'


def find_config(name: str) -> str:
    """The file of a config.

    Args:
        name: Path of a file, or ``PACKAGE::FILE`` for one that comes with an
            installed package of OpenMMLab, as in ``_base_`` of configs:
            ``mmaction::recognition/tsm/….py``.

    Raises:
        ValueError: There is no such config.
    """
    package, is_installed, path = name.partition('::')
    if not is_installed:
        path = name
    else:
        try:
            root = get_installed_path(package)
        except Exception as error:  # of pkg_resources or importlib
            raise ValueError(f'config {name!r}: package {package!r} is not '
                             'installed.') from error
        path = os.path.join(root, '.mim', 'configs', path)
    if not os.path.isfile(path):
        raise ValueError(f'config {name!r} does not exist: there is no file '
                         f'{path}.')
    return path


def load_config(name: str) -> Config:
    """Read the config that :func:`find_config` finds."""
    return Config.fromfile(find_config(name))


def innermost_dataset(cfg: Config, split: str) -> Dict[str, Any]:
    """The dataset of a config's dataloader that reads the list.

    Raises:
        ValueError: There are several, or it reads no list.
    """
    name = f'{split}_dataloader.dataset'
    dataset = cfg[f'{split}_dataloader'].dataset
    while 'ann_file' not in dataset:
        if 'dataset' not in dataset:
            raise ValueError(
                f'{name} must read one annotation list, ann_file, got a '
                f"{dataset.get('type')} without one: give a config that "
                'trains and tests on a single data set.')
        dataset, name = dataset.dataset, f'{name}.dataset'
    return dataset


def set_data(cfg: Config, split: str, ann_file: str,
             data_root: Optional[str] = None) -> None:
    """Let a config read another list, in place.

    Args:
        cfg: Config of a recognizer.
        split: ``'train'``, ``'val'`` or ``'test'``.
        ann_file: The list, absolute or below the data root.
        data_root: Folder that the list's paths start from; by default the
            config's own.
    """
    dataset = innermost_dataset(cfg, split)
    dataset.ann_file = ann_file
    if data_root is not None:
        dataset.data_root = data_root
        # Or the config's own folder would come between.
        for key in dataset.get('data_prefix') or {}:
            if key != SCOPE:
                dataset.data_prefix[key] = ''


def set_everywhere(node: Any, key: str, value: Any) -> None:
    """Set a key wherever it is in nested dicts and lists."""
    if isinstance(node, dict):
        if key in node:
            node[key] = value
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            set_everywhere(child, key, value)


def differing_options(a: Any, b: Any, name: str = '') -> List[str]:
    """Dotted names of the options in which two configs differ."""
    a, b = (list(v) if isinstance(v, tuple) else v for v in (a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        pairs: List[Tuple[str, Any, Any]] = [
            (str(key), a.get(key), b.get(key)) for key in sorted({*a, *b})]
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = [(str(i), x, y) for i, (x, y) in enumerate(zip(a, b))]
    else:
        return [] if a == b else [name]
    return [found for key, x, y in pairs
            for found in differing_options(
                x, y, f'{name}.{key}' if name else key)]
