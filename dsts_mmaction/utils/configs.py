"""Reading, changing and comparing configs."""
import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load
from mmengine.utils import get_installed_path

from .checkpoints import first_line

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


def zoo_checkpoint(name: str) -> str | None:
    """Address of the weights that a package has for one of its configs.

    Args:
        name: As for :func:`find_config`.

    Returns:
        What the metafile beside the config says; None for a config that is a
        file of one's own, or that has no weights.
    """
    if '::' not in name:
        return None
    path = Path(find_config(name))
    # Two metafile entries of mmaction2 1.2.0 lack the suffix.
    for metafile in (path.parent / 'metafile.yml',
                     path.parent.parent / 'metafile.yml'):
        for model in load(metafile)['Models'] if metafile.exists() else ():
            if (Path(model['Config']).name in (path.name, path.stem)
                    and 'Weights' in model):
                return model['Weights']
    return None


def innermost_dataset(cfg: Config, split: str) -> dict[str, Any]:
    """The dataset of a config's dataloader that reads the list.

    Raises:
        ValueError: There are none or several, or it reads no list.
    """
    name = f'{split}_dataloader.dataset'
    dataset = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
    if dataset is None:
        raise ValueError(f'the config must have a {name}, got none: give one '
                         'that trains and tests.')
    while 'ann_file' not in dataset:
        if 'dataset' not in dataset:
            raise ValueError(
                f'{name} must read one annotation list, ann_file, got a '
                f"{dataset.get('type')} without one: give a config that "
                'trains and tests on a single data set.')
        dataset, name = dataset.dataset, f'{name}.dataset'
    return dataset


def without_weights(cfg: Config) -> Config:
    """A config whose recognizer builds and starts without a checkpoint."""
    cfg = copy.deepcopy(cfg)
    backbone = cfg.model.backbone
    for part in (backbone, backbone.get('slow_pathway'),
                 backbone.get('fast_pathway'), cfg.model.get('cls_head')):
        for option, value in (('pretrained', None), ('pretrained2d', False),
                              ('pretrained_type', None)):
            if part and part.get(option):
                part[option] = value
        init = (part or {}).get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            del part['init_cfg']
    if backbone.type == 'UniFormerV2':
        backbone.clip_pretrained = False  # it is True by default
    return cfg


def view_shape(cfg: Config) -> tuple[int, ...]:
    """Shape of one view of one video, as the recognizer gets it.

    That of the training pipeline, if there is one: (1, frames, channels, H,
    W) for Recognizer2D, else (1, 1, channels, frames, H, W).

    Raises:
        ValueError: The pipeline does not say how large frames are.
    """
    backbone = cfg.model.backbone
    channels = backbone.get('in_channels', 3)
    dataset = (dataset_with_pipeline(cfg, 'train')
               or dataset_with_pipeline(cfg, 'test'))
    if dataset is None:  # a base for other configs
        frames, size = backbone.t_size, backbone.input_resolution
    else:
        frames = sampled_frames(dataset,
                                cfg.model.type == 'Recognizer2D')
        size = _frame_size(dataset.pipeline)
    if cfg.model.type == 'Recognizer2D':
        return 1, frames, channels, size, size
    return 1, 1, channels, frames, size, size


def input_shape(cfg: Config, shape: Sequence[int] | None,
                batch: int = 1) -> tuple[int, ...]:
    """``--shape`` of a tool, or views as :func:`view_shape` gives them.

    Args:
        cfg: Config of the recognizer.
        shape: That of the input, if it is given.
        batch: How many views otherwise.

    Raises:
        ValueError: It cannot be that of an input, or is not given and the
            config does not say.
    """
    axes = ('batch frames channels height width' if cfg.model.type ==
            'Recognizer2D' else 'batch views channels frames height width')
    if shape is None:
        try:
            return batch, *view_shape(cfg)[1:]
        except ValueError as error:
            raise ValueError(f'{error} Give --shape: {axes}.') from error
    if len(shape) != len(axes.split()) or min(shape) < 1:
        raise ValueError(f'--shape of {cfg.model.type} must be '
                         f'{len(axes.split())} numbers of 1 or more, {axes}, '
                         f'got {" ".join(map(str, shape))}.')
    return tuple(shape)


def unfit_input(shape: Sequence[int], error: RuntimeError) -> str:
    """What to say when a recognizer fails on an input of a shape."""
    return ('the recognizer does not take an input of shape '
            f"{'x'.join(map(str, shape))}: {first_line(error)}")


def sampled_frames(dataset: dict[str, Any], segments: bool) -> int:
    """Frames of one view.

    Args:
        dataset: Config of a dataset, with a pipeline.
        segments: Whether its clips are segments of a view, as for
            Recognizer2D, rather than views.

    Raises:
        ValueError: The pipeline samples no frames.
    """
    for step in dataset['pipeline']:
        if 'Sample' in step['type']:
            frames = step.get('clip_len', 1)
            if not segments:
                return frames
            if dataset.get('modality') == 'Flow':
                frames = 1  # one after the other, as channels
            return frames * step.get('num_clips', 1)
    raise ValueError('the pipeline must have a SampleFrames, got '
                     f"{[step['type'] for step in dataset['pipeline']]}.")


def _frame_size(pipeline: Sequence[dict[str, Any]]) -> int:
    size = None
    for step in pipeline:
        if step['type'] == 'Resize' and not step.get('keep_ratio', True):
            size = step['scale'][0]
        for option in ('crop_size', 'size'):
            size = step.get(option, size)
    if not isinstance(size, int):
        raise ValueError('the pipeline must crop or resize frames to a '
                         f'square, got {size!r}.')
    return size


def dataset_with_pipeline(cfg: Config,
                          split: str) -> dict[str, Any] | None:
    """The dataset of a config's dataloader, the first of several.

    None if there is no such dataloader.
    """
    loader = cfg.get(f'{split}_dataloader')
    if loader is None:
        return None
    dataset = loader.dataset
    while 'pipeline' not in dataset:
        dataset = dataset.get('dataset') or dataset.datasets[0]
    return dataset


def set_data(cfg: Config, split: str, ann_file: str,
             data_root: str | None = None) -> None:
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


def differing_options(a: Any, b: Any, name: str = '') -> list[str]:
    """Dotted names of the options in which two configs differ."""
    a, b = (list(v) if isinstance(v, tuple) else v for v in (a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        pairs: list[tuple[str, Any, Any]] = [
            (str(key), a.get(key), b.get(key)) for key in sorted({*a, *b})]
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = [(str(i), x, y) for i, (x, y) in enumerate(zip(a, b))]
    else:
        return [] if a == b else [name]
    return [found for key, x, y in pairs
            for found in differing_options(
                x, y, f'{name}.{key}' if name else key)]
