"""A recognizer's config, for one's own classes and videos."""
import copy
import os
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ..adapters.omni import is_omni
from ..datasets.prepare.videos import read_first_frame
from ..utils.annotation_lists import read_labels, read_list
from ..utils.configs import innermost_dataset, set_data, set_everywhere
from .schedules import stretch_schedule

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class OwnData:
    """One's own videos, and how they are trained on.

    Args:
        num_classes: Number of classes, 2 or more.
        lists: MMAction2's lists of videos by split; where ``'test'`` is
            missing, that of ``'val'`` is tested on.
        data_root: Folder that the lists' paths start from.
        epochs: Length of the training, the config's schedule stretched. By
            default the config's.
        gpus: Devices that it will be trained on.
        flip: Whether training clips are flipped, if the config does so.

    Raises:
        ValueError: A number is too small.
    """
    num_classes: int
    lists: dict[str, str]
    data_root: str
    epochs: int | None = None
    gpus: int = 1
    flip: bool = True

    def __post_init__(self) -> None:
        for name, value, least in (('--num-classes', self.num_classes, 2),
                                   ('--epochs', self.epochs, 1),
                                   ('--gpus', self.gpus, 1)):
            if value is not None and value < least:
                raise ValueError(f'{name} must be at least {least}, got '
                                 f'{value}.')


def check_data(data: OwnData) -> dict[str, int]:
    """Look at annotation lists before anything is built on them.

    Returns:
        Clips of each split.

    Raises:
        ValueError: A list that cannot be read, is empty or has a label that
            is no class, or whose first video cannot be read.
    """
    sizes = {}
    for split, path in data.lists.items():
        sizes[split] = len(read_labels(path, data.num_classes))
        _check_lines(path)
        video = os.path.join(data.data_root, read_list(path)[0].split()[0])
        if not os.path.isfile(video):
            raise ValueError(f'the first video of {path}, {video}, does not '
                             'exist: check --data-root, the folder that the '
                             "list's paths start from.")
        reason = read_first_frame(video)
        if reason is not None:
            raise ValueError(f'the first video of {path}, {video}, cannot be '
                             f'read by decord: {reason}')
    return sizes


def _check_lines(path: str) -> None:
    """VideoDataset splits a line at every single space."""
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, start=1):
            if len(line.strip().split(' ')) != 2 or not line.strip():
                raise ValueError(
                    f'{path}, line {number}, must be PATH LABEL with one '
                    'space between them and none in the path, as MMAction2 '
                    f'reads it, got {line.rstrip()!r}.')


def fine_tuning_config(cfg: Config,
                       data: OwnData) -> tuple[Config, list[str]]:
    """Turn a recognizer's config to one's own classes and videos.

    Classes, lists and paths are set everywhere; the learning rate is scaled
    to the batch size of all devices, as MMAction2's ``--auto-scale-lr``
    would.

    Args:
        cfg: The recognizer's config, left as it is.
        data: Videos and classes.

    Returns:
        The config, and remarks that its user should read.

    Raises:
        ValueError: The config does not train, or not on one list of videos;
            or not by epochs, though their number is given.
    """
    _check_config(cfg)
    cfg = copy.deepcopy(cfg)
    remarks: list[str] = []
    set_everywhere(cfg.model, 'num_classes', data.num_classes)
    if (cfg.model.cls_head.get('init_cfg') or {}).get('type') == 'Pretrained':
        del cfg.model.cls_head['init_cfg']  # a head of other classes
    lists = {'test': data.lists['val'], **data.lists}
    for split in SPLITS:
        set_data(cfg, split, _below(lists[split], data.data_root),
                 data.data_root)
        for part in ('dataloader', 'evaluator'):
            set_everywhere(cfg.get(f'{split}_{part}'), 'num_classes',
                           data.num_classes)
    _check_flips(cfg, data.flip, remarks)
    if data.epochs is not None:
        cfg = stretch_schedule(cfg, data.epochs)
    _scale_lr(cfg, data.gpus, remarks)
    return cfg, remarks


def _below(path: str, root: str) -> str:
    """A path as it is found from the data root."""
    relative = os.path.relpath(path, root)
    return os.path.abspath(path) if relative.startswith('..') else relative


def _check_config(cfg: Config) -> None:
    missing = [name for name in (
        *(f'{split}_dataloader' for split in SPLITS), 'val_evaluator',
        'test_evaluator', 'optim_wrapper', 'train_cfg') if name not in cfg]
    if missing:
        raise ValueError(
            f'the config does not train, it has no {", ".join(missing)}: '
            'give one that does. For X3D and VideoMAE, MMAction2 has none; '
            "docs/configs.md lists this repository's.")
    if is_omni(cfg.model):
        raise ValueError(f'model.type is {cfg.model.type}, which trains on '
                         'images and videos at a time: give the config of a '
                         'recognizer of videos.')
    for split in SPLITS:
        dataset = innermost_dataset(cfg, split)
        if dataset.type == 'RawframeDataset':
            raise ValueError(
                f'{split}_dataloader.dataset is a RawframeDataset, which '
                'reads folders of images: give a config that reads videos '
                '(VideoDataset).')


def _check_flips(cfg: Config, flip: bool, remarks: list[str]) -> None:
    """A flip that swaps labels knows the classes of another data set."""
    dataset = innermost_dataset(cfg, 'train')
    kept: list[dict[str, Any]] = []
    for step in dataset.pipeline:
        if step.type != 'Flip':
            kept.append(step)
        elif not flip:
            continue
        elif step.get('flip_label_map'):
            remarks.append(
                'Flip is left out: its flip_label_map swaps the labels of '
                'other classes.')
        else:
            kept.append(step)
            if step.get('flip_ratio', 0.5):
                remarks.append(
                    'Training clips are flipped. If classes name left and '
                    'right, or clockwise and counter-clockwise, give '
                    '--no-flip.')
    dataset.pipeline = kept


def _scale_lr(cfg: Config, gpus: int, remarks: list[str]) -> None:
    optimizer = cfg.optim_wrapper.optimizer
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    batch = cfg.train_dataloader.batch_size * gpus
    if base is None:
        remarks.append(
            f'The learning rate is as it was, {optimizer.lr:g}: the config '
            'does not say which batch size it is for (auto_scale_lr), yours '
            f'is {batch}. Its name may say it (8xb16: 8 x 16); scale it.')
    elif batch != base:
        before = optimizer.lr
        optimizer.lr = float(f'{before * batch / base:.4g}')
        # Or --auto-scale-lr would do it once more.
        cfg.auto_scale_lr.base_batch_size = batch
        remarks.append(
            f'The learning rate is {optimizer.lr:g}: {before:g}, for batches '
            f'of {base}, scaled to {batch}.')
