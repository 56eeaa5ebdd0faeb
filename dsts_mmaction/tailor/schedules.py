"""Train a config for another number of epochs, its schedule stretched."""
import copy
from typing import Any

from mmengine.config import Config

# Options of MMEngine's schedulers that count epochs: from the start of
# training, or from the scheduler's own.
POINTS = ('begin', 'end', 'milestones')
LENGTHS = ('T_max', 'step_size', 'total_steps', 'periods')
# These may be parts of an epoch where they are converted to iterations, but
# not so small that no iteration is left of a warm-up.
FRACTIONAL = ('begin', 'end', 'T_max')
SMALLEST_PART = 0.25


def max_epochs(cfg: Config) -> int:
    """Epochs that a config trains for.

    Raises:
        ValueError: It trains by iterations.
    """
    epochs = cfg.train_cfg.get('max_epochs')
    if epochs is None:
        raise ValueError('train_cfg.max_epochs must be set: the benchmark '
                         'counts epochs, not iterations.')
    return epochs


def stretch_schedule(cfg: Config, epochs: int) -> Config:
    """A copy of a config that trains for ``epochs``.

    Schedulers that go by epoch are stretched or shrunk with it, warm-up
    included; those that go by iteration stay as they are.
    """
    factor = epochs / max_epochs(cfg)
    cfg = copy.deepcopy(cfg)
    cfg.train_cfg.max_epochs = epochs
    if cfg.get('param_scheduler') is not None and factor != 1:
        cfg.param_scheduler = [_stretch(s, factor) for s in _schedulers(cfg)]
    return cfg


def _schedulers(cfg: Config) -> list[dict[str, Any]]:
    """The schedulers of a config, which may name a single one or none."""
    schedulers = cfg.get('param_scheduler') or []
    return [schedulers] if isinstance(schedulers, dict) else list(schedulers)


def _stretch(scheduler: dict[str, Any], factor: float) -> dict[str, Any]:
    scheduler = dict(scheduler)
    if not scheduler.get('by_epoch', True):
        return scheduler
    converted = scheduler.get('convert_to_iter_based', False)

    def at(name: str, epoch: float) -> float:
        if converted and name in FRACTIONAL:
            return max(epoch * factor, min(epoch, SMALLEST_PART))
        return max(round(epoch * factor), min(epoch, 1))

    old_begin = scheduler.get('begin', 0)
    for name in POINTS + LENGTHS:
        value = scheduler.get(name)
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            scheduler[name] = [at(name, v) for v in value]
        elif name == 'T_max':
            # Where the curve ends is rounded as the schedulers' ends are.
            scheduler[name] = (at(name, old_begin + value)
                               - at(name, old_begin))
        else:
            scheduler[name] = at(name, value)
    # No scheduler shrinks to nothing.
    for name, least in (('end', scheduler.get('begin', 0) + 1), ('T_max', 1)):
        if scheduler.get(name) is not None and not converted:
            scheduler[name] = max(scheduler[name], least)
    return scheduler


def check_schedule(cfg: Config, epoch_length: int) -> None:
    """Refuse a schedule of which no iteration is left.

    Args:
        cfg: A config of :func:`stretch_schedule`.
        epoch_length: Iterations of an epoch.

    Raises:
        ValueError: A scheduler that is converted to iterations ends where it
            begins; MMEngine would refuse it when training starts.
    """
    for scheduler in _schedulers(cfg):
        begin, end = scheduler.get('begin', 0), scheduler.get('end')
        if scheduler.get('convert_to_iter_based') and end is not None and (
                int(end * epoch_length) <= int(begin * epoch_length)):
            raise ValueError(
                f'{scheduler["type"]} from epoch {begin:g} to {end:g} would '
                f'have no iteration, as an epoch has {epoch_length}: take '
                'more epochs, more clips or smaller batches.')
