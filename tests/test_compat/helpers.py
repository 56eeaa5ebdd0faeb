"""A new process, a toy model and its Runner."""
import os
import subprocess
import sys
from pathlib import Path

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import dsts_mmaction

CHECKOUT = Path(dsts_mmaction.__file__).parents[1]


def unpatched(function):
    """The host's own function behind a replaced one."""
    return function.__wrapped__


def run_python(*command, cwd, paths=()):
    """What Python prints, with these folders and the checkout on its path."""
    paths = [*paths, CHECKOUT, os.environ.get('PYTHONPATH', '')]
    path = os.pathsep.join(filter(None, map(str, paths)))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', *map(str, command)],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300)
    assert done.returncode == 0, done.stdout
    return done.stdout


class ToyModel(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, inputs, data_sample=None, mode='tensor'):
        outputs = self.linear(torch.stack(inputs))
        if mode == 'loss':
            return dict(loss=outputs.square().sum())
        return outputs


def toy_runner(work_dir, **kwargs):
    config = dict(
        model=ToyModel(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.ones(2), data_sample=1)] * 4,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
            batch_size=2,
            num_workers=0),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1, momentum=.9)),
        param_scheduler=dict(type='MultiStepLR', milestones=[1]),
        default_scope='mmaction',
        log_level='ERROR',
        experiment_name=f'{work_dir.name}_{len(os.listdir(work_dir))}')
    config.update(kwargs)
    return Runner(**config)
