"""A real Runner over random clips in memory, fast enough for many tests."""
import copy
import random

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from dsts_mmaction.adapters.specialized import dsts_modules
from tests.builders import (
    DSTS,
    NUM_CLASSES,
    slowfast,
    slowonly,
    specialize,
    tsm,
)
from tests.reference import randomize

UDL = dict(type='UpstreamDownstreamHook',
           optimizer=dict(type='AdamW', lr=0.01))


# A head on one map, a head on two pathways, a neck.
MODELS = dict(
    tsm=lambda: specialize(tsm()),
    slowfast=lambda: specialize(slowfast(), channels=(128, 16)),
    neck=lambda: dict(
        slowonly(), neck=dict(type='DSTSNeck', in_channels=128, dsts=DSTS)))
# Fresh in every session, the same for all runners of one.
WEIGHTS = torch.seed() % 2**31


class RandomClips(Dataset):
    """Clips of noise, the same ones whenever they are asked for."""

    def __init__(self, count, shape=(8, 3, 16, 16), seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.clips = torch.randint(256, (count, *shape), dtype=torch.uint8,
                                   generator=generator)

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        return dict(
            inputs=self.clips[index],
            data_samples=ActionDataSample().set_gt_label(index % NUM_CLASSES))


class SameStreams(Hook):
    """Seeds the streams that MMEngine does not restore on resume."""
    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        torch.manual_seed(runner.iter)
        np.random.seed(runner.iter)
        random.seed(runner.iter)


def loader(dataset, batch_size=4, **options):
    return {
        'dataset': dataset,
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': dict(type='DefaultSampler', shuffle=False),
        'collate_fn': dict(type='pseudo_collate'),
        **options
    }


def make_runner(work_dir, model=None, udl=None, hooks=(), count=8,
                batch_size=4, epochs=1, optim=None, optimizer=None,
                shape=None, random=True, seed=WEIGHTS, **kwargs):
    """A Runner that is ready to train.

    Args:
        udl: Options of the hook; False for a joint run.
        hooks: Further custom hooks.
        optim: Further options of the optimizer wrapper.
        random: Whether every DSTS parameter starts at a random value.
        seed: Of the weights.
    """
    model = copy.deepcopy(model or specialize(tsm()))
    shape = shape or ((8, 3, 16, 16) if model['type'] == 'Recognizer2D' else
                      (1, 3, 8, 16, 16))
    hooks = list(hooks)
    if udl is not False:
        hooks.append({**UDL, **(udl or {})})
    options = dict(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=loader(RandomClips(count, shape), batch_size),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper={
            'constructor': 'DSTSOptimWrapperConstructor',
            'optimizer': optimizer or dict(
                type='SGD', lr=0.01, momentum=0.9, weight_decay=0.01),
            **(optim or {})
        },
        param_scheduler=dict(
            type='LinearLR', start_factor=0.5, by_epoch=False, begin=0,
            end=4),
        custom_hooks=hooks,
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        default_scope='mmaction',
        log_level='WARNING',
        randomness=dict(seed=0),
        experiment_name=f'{work_dir.name}_{make_runner.made}')
    options.update(kwargs)
    make_runner.made += 1
    runner = Runner(**options)
    if random:
        torch.manual_seed(seed)
        recognizer = getattr(runner.model, 'module', runner.model)
        recognizer.init_weights()
        for module in dsts_modules(recognizer):
            randomize(module, seed)
            # Residual branches of about the size of the features.
            module.readout.linear.weight.data.mul_(0.5)
        recognizer.init_weights = lambda: None
    return runner


make_runner.made = 0


def hook_of(runner, name='UpstreamDownstreamHook'):
    return next(h for h in runner.hooks if type(h).__name__ == name)


def upstream(runner):
    """Copies of the upstream parameters."""
    return [p.detach().clone() for m in dsts_modules(runner.model)
            for p in m.upstream_parameters()]


def logged(runner, name):
    return runner.message_hub.log_scalars[f'train/{name}'].data[0].tolist()


def state(runner):
    """A copy of the model's state."""
    return {n: v.clone() for n, v in runner.model.state_dict().items()}


def same(a, b):
    """Whether two states are equal, bit by bit."""
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)
