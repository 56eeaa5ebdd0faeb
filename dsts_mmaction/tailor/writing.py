"""Write the specialized twin of a recognizer's config."""
import copy
import os
from pathlib import Path
from typing import Any, NamedTuple

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..utils.checkpoints import read_checkpoint, unwrapped
from ..utils.configs import without_weights, zoo_checkpoint
from .fine_tuning import OwnData, check_data, fine_tuning_config
from .inheriting import load_as_base, write_inheriting
from .placement import channels_at, check_recognizer, placement
from .requirements import missing_for_training, missing_package
from .specialize import count_parameters, specialize_config


class Written(NamedTuple):
    """A config that was written.

    Attributes:
        path: Where it is.
        clips: Clips of each split, of one's own data.
        parameters: Of DSTS, trained ones.
        remarks: What its user should know.
    """
    path: Path
    clips: dict[str, int]
    parameters: int
    remarks: list[str]


def write_specialized(config: str,
                      out: Path | None = None,
                      dsts: dict[str, Any] | None = None,
                      udl: int | None = None,
                      data: OwnData | None = None,
                      load_from: str | None = None,
                      force: bool = False) -> Written:
    """Write a config that inherits from another and specializes it.

    Args:
        config: The plain recognizer's, a file or ``PACKAGE::FILE``.
        out: File to write. By default ``dsts-NAME.py``, or
            ``dsts-udl-NAME.py`` with ``udl``, in the current folder.
        dsts: Options of :class:`dsts_mmaction.models.DSTSModule`.
        udl: Order of Upstream-Downstream Learning; None for joint training.
        data: One's own videos; by default those of the config.
        load_from: Checkpoint that training starts from, or ``'none'``. By
            default, with ``data``, the weights that MMAction2 has for the
            config; without, what the config says.
        force: Whether a file that exists may be replaced.

    Raises:
        ValueError: An argument, the config or the data are not usable;
            nothing is written then.
        OSError: A file that cannot be read or written.
    """
    path = _checked_path(config, out, udl, force)
    start = _starting_checkpoint(config, load_from, data is not None)
    base = cfg = load_as_base(config)
    init_default_scope('mmaction')
    check_recognizer(base)
    missing = (missing_package(base), missing_for_training(base))
    remarks = [f'{what}, which is not installed: training will stop there.'
               for what in missing if what]
    clips: dict[str, int] = {}
    if data is not None:
        clips = check_data(data)
        cfg, more = fine_tuning_config(base, data)
        remarks += more
    if start is not None:
        # Or other weights would be loaded, maybe from the network, before.
        cfg = without_weights(cfg)
        cfg.load_from = start
        if os.path.isfile(start):
            _check_checkpoint(start, cfg)
        if start != load_from:
            remarks.append(f'Training starts from {start}.')
    elif data is not None and load_from is None:
        remarks.append('Training starts as the config has it: no weights of '
                       'MMAction2 are known for it. --load-from names yours.')
    place = placement(cfg)
    parameters = count_parameters(dsts or {}, channels_at(cfg, place))
    cfg = specialize_config(cfg, dsts, udl, place=place)
    write_inheriting(path, config, base, cfg,
                     'Written by tools/specialize.py.')
    return Written(path, clips, parameters, remarks)


def _checked_path(config: str, out: Path | None, udl: int | None,
                  force: bool) -> Path:
    name = Path(config.partition('::')[2] or config).stem
    path = out or Path(f"dsts-{'' if udl is None else 'udl-'}{name}.py")
    if path.suffix != '.py' or path.is_dir():
        raise ValueError('--out must be a file that ends in .py, got '
                         f'{path}.')
    if path.exists() and not force:
        raise ValueError(f'{path} exists: give --force to replace it, or '
                         'another --out.')
    return path


def _starting_checkpoint(config: str, load_from: str | None,
                         own_data: bool) -> str | None:
    """What training starts from; None if the config decides."""
    if load_from is None and own_data:
        return zoo_checkpoint(config)
    if load_from in (None, 'none'):
        return None
    if '://' not in load_from and not os.path.isfile(load_from):
        raise ValueError(f'--load-from {load_from} does not exist.')
    return load_from


def _check_checkpoint(path: str, cfg: Config) -> None:
    """Check that a checkpoint has something of a recognizer."""
    saved = unwrapped(read_checkpoint(path)['state_dict'])
    if missing_package(cfg) is None and saved.keys().isdisjoint(
            MODELS.build(copy.deepcopy(cfg.model)).state_dict()):
        raise ValueError(f'--load-from {path} has no tensor of the '
                         'recognizer of CONFIG: it is that of another.')
