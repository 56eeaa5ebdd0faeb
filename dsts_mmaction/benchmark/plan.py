"""Which runs a benchmark is made of, and the config of each."""
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmaction.registry import HOOKS
from mmengine.config import Config

from ..adapters.specialized import adapter_configs
from ..tailor.placement import feature_channels
from ..tailor.schedules import check_schedule, max_epochs, stretch_schedule
from ..tailor.specialize import (
    count_parameters,
    import_package,
    specialize_config,
)
from ..utils.configs import load_config, set_data, set_everywhere
from .data_lists import Lists
from .error import BenchmarkError, refuse_twice
from .variants import (
    VARIANTS,
    Variant,
    dsts_options,
    module_defaults,
)


@dataclass(frozen=True)
class Protocol:
    """How long, and from what, every variant is trained.

    From scratch, every variant has ``epochs`` and ``baseline_extra`` has
    ``extra_epochs`` more, the schedule stretched. With ``warm_start``, the
    baseline's ``epochs`` come first, once per host and seed; every other
    variant goes on from there for ``extra_epochs``, with the same schedule
    anew at ``extra_lr_mult`` times the learning rates.
    """
    epochs: int
    extra_epochs: int
    warm_start: bool = False
    extra_lr_mult: float = 0.5
    val_interval: int | None = None
    amp: bool = False


@dataclass(frozen=True)
class Job:
    """One run, in ``WORK_DIR/HOST/VARIANT/seedN``.

    ``first_epoch`` counts the epochs before this run's own, and ``start``
    names the run whose weights it starts from. ``defaults`` are those of the
    DSTS module, which its config does not name.
    """
    host: str
    variant: str
    seed: int
    config: Config = field(repr=False, compare=False)
    first_epoch: int = 0
    start: str | None = None
    defaults: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Its folder in the benchmark's."""
        return os.path.join(self.host, self.variant, f'seed{self.seed}')

    @property
    def epochs(self) -> int:
        """Epochs of its own."""
        return self.config.train_cfg.max_epochs

    @property
    def amp(self) -> bool:
        """Whether it trains with mixed precision, by --amp or its host."""
        kind = str(self.config.optim_wrapper.get('type'))
        return kind.rpartition('.')[2] in ('AmpOptimWrapper',
                                           'ApexOptimWrapper')


def load_host(path: str,
              cfg_options: dict[str, Any] | None = None) -> Config:
    """Read a host's config.

    Args:
        path: Config of a plain recognizer.
        cfg_options: Changes of it, as of MMAction2's train.py.

    Raises:
        BenchmarkError: It is specialized already, or the changes do not fit.
    """
    cfg = load_config(path)
    for name, adapter in adapter_configs(cfg).items():
        raise BenchmarkError(
            f'host {path} must be the config of a plain recognizer, got one '
            f'whose {name} is a {adapter["type"]}.')
    try:
        cfg.merge_from_dict(cfg_options or {})
    except (KeyError, TypeError, IndexError) as error:
        raise BenchmarkError(f'--cfg-options do not fit {path}: '
                             f'{error.args[0]}') from error
    return cfg


def host_config(path: str, lists: Lists, data_root: str | None,
                num_classes: int | None,
                cfg_options: dict[str, Any] | None) -> Config:
    """A host's config on the benchmark's data.

    Args:
        path: Config of a plain recognizer.
        lists: Its lists.
        data_root: Folder of the clips; by default the config's.
        num_classes: By default the config's.
        cfg_options: As in :func:`load_host`.

    Raises:
        BenchmarkError: The recognizer is specialized already, or has no such
            data sets.
    """
    cfg = load_host(path, cfg_options)
    import_package(cfg)
    metric = dict(type='FineGrainedMetric')
    for split, list_file in lists.items().items():
        try:
            set_data(cfg, split, os.path.abspath(list_file), data_root)
        except ValueError as error:
            raise BenchmarkError(f'host {path}: {error}') from error
    for split in ('val', 'test'):
        cfg[f'{split}_evaluator'] = metric
    if lists.val is None:
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    if num_classes is not None:
        set_everywhere(cfg.model, 'num_classes', num_classes)
    return cfg


def plan_jobs(hosts: dict[str, Config], variants: Sequence[Variant],
              seeds: Sequence[int], protocol: Protocol,
              num_clips: int) -> list[Job]:
    """All runs, those first that others start from.

    Args:
        hosts: Configs of :func:`host_config` by the hosts' names.
        variants: What is compared.
        seeds: Of weights, data order, augmentation and noise.
        protocol: How they are trained.
        num_clips: Training clips.

    Raises:
        BenchmarkError: A variant or a seed is given twice, options of a
            variant are wrong, the schedule does not fit so few clips, or
            there is no learning rate to go on with after a warm start.
    """
    # Two runs in one folder.
    refuse_twice('--variants and --variant', [v.name for v in variants])
    refuse_twice('--seeds', seeds)
    if protocol.warm_start and 'baseline' not in [v.name for v in variants]:
        variants = [VARIANTS['baseline'], *variants]
    # Seed by seed: an unfinished benchmark compares whole seeds.
    return [
        _job(host, cfg, variant, seed, protocol,
             _epoch_length(cfg, num_clips)) for seed in seeds
        for host, cfg in hosts.items()
        for variant in sorted(variants, key=lambda v: v.name != 'baseline')
    ]


def _job(host: str, cfg: Config, variant: Variant, seed: int,
         protocol: Protocol, epoch_length: int) -> Job:
    baseline = Job(host, 'baseline', seed, cfg).name
    continues = protocol.warm_start and variant.name != 'baseline'
    epochs = protocol.extra_epochs if continues else protocol.epochs
    if variant.extra_budget and not protocol.warm_start:
        epochs += protocol.extra_epochs
    cfg = stretch_schedule(cfg, epochs)
    try:
        check_schedule(cfg, epoch_length)
    except ValueError as error:
        raise BenchmarkError(f'{host}, {epochs} epochs: {error}') from error
    if continues:
        optimizer = cfg.optim_wrapper.optimizer
        if not isinstance(optimizer.get('lr'), (int, float)):
            raise BenchmarkError(
                f'{host}: optim_wrapper.optimizer.lr must be a number to go '
                f'on with after a warm start, got {optimizer.get("lr")!r}.')
        optimizer.lr *= protocol.extra_lr_mult
    if variant.dsts is not None:
        # configs/_base_/dsts.py leaves its options at the top of a config.
        channels = feature_channels(cfg)
        try:
            dsts = dsts_options(variant, dict(cfg.get('dsts') or {}),
                                channels)
            # Builds the modules: wrong options are told before any run.
            count_parameters(dsts, channels)
            cfg = specialize_config(cfg, dsts, variant.udl,
                                    variant.udl_options)
            if variant.udl is not None:
                HOOKS.build(cfg.custom_hooks[-1])
        except ValueError as error:
            raise BenchmarkError(f'variant {variant.name}: {error}'
                                 ) from error
        if continues and variant.udl is not None:
            cfg.custom_hooks[-1].optimizer.lr *= protocol.extra_lr_mult
    _set_training(cfg, seed, protocol)
    if continues:
        cfg.load_from = None  # the baseline's weights, as the worker sets
    return Job(host, variant.name, seed, cfg,
               *((protocol.epochs, baseline) if continues else (0, None)),
               {} if variant.dsts is None else module_defaults())


def _epoch_length(cfg: Config, num_clips: int) -> int:
    """Iterations of an epoch, on one device."""
    loader = cfg.train_dataloader
    parts = num_clips / loader.batch_size
    return math.floor(parts) if loader.get('drop_last') else math.ceil(parts)


def _set_training(cfg: Config, seed: int, protocol: Protocol) -> None:
    # Variants of one seed get the same clips in the same order with the same
    # augmentation: the sampler is seeded by the seed and the epoch, the
    # loading processes by the seed. What a variant draws in training (noise,
    # dropout, a head's weights) comes from torch's stream of the main
    # process, which loads nothing as long as num_workers is above 0. A run
    # that was stopped and resumed draws other augmentations.
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': seed}
    cfg.launcher, cfg.resume = 'none', False
    if protocol.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    # The last epoch is what counts: nothing is selected. Two checkpoints, as
    # MMEngine removes the older one before the newest is written.
    hooks = cfg.setdefault('default_hooks', {})
    hooks['checkpoint'] = dict(type='CheckpointHook', interval=1,
                               max_keep_ckpts=2, save_best=None)
    if protocol.val_interval is None:
        # Not even after the last epoch, where the worker validates itself.
        cfg.train_cfg.val_begin = cfg.train_cfg.max_epochs + 1
    else:
        cfg.train_cfg.val_begin = 1
        cfg.train_cfg.val_interval = protocol.val_interval


def common_epochs(hosts: dict[str, Config]) -> int:
    """Epochs that all hosts' configs train for.

    Raises:
        BenchmarkError: They do not agree.
    """
    epochs = {host: max_epochs(cfg) for host, cfg in hosts.items()}
    if len(set(epochs.values())) > 1:
        raise BenchmarkError('--epochs must be set where hosts train for '
                             f'different numbers of epochs, here {epochs}.')
    return next(iter(epochs.values()))
