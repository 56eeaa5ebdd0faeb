"""Every config in the folder: it loads, builds, and trains what it should.

Those that fine-tune a host on a data set build in
``test_fine_tuning_configs.py``: they are many, and large.
"""
from pathlib import Path

import pytest
import torch
from mmaction.registry import HOOKS, MODELS
from mmaction.structures import ActionDataSample
from mmcv.transforms import Compose
from mmengine.optim import build_optim_wrapper

from dsts_mmaction.adapters.specialized import dsts_modules
from tests.config_files import (
    CONFIGS,
    FINE_TUNING,
    SPECIALIZED,
    UDL,
    assert_grouped_once,
    load,
)

BUILT_HERE = [name for name in CONFIGS
              if name not in UDL and name not in FINE_TUNING.values()]


def test_there_are_configs():
    assert len(SPECIALIZED) >= 4


def test_every_specialized_config_has_its_udl_variant():
    assert sorted(
        name.replace('/dsts-', '/dsts-udl-') for name in SPECIALIZED) == UDL


@pytest.mark.parametrize('name', UDL)
def test_udl_variant_adds_the_hook_and_nothing_else(name):
    joint = load(name.replace('/dsts-udl-', '/dsts-')).to_dict()
    udl = load(name).to_dict()
    hook, = udl.pop('custom_hooks')
    assert hook['type'] == 'UpstreamDownstreamHook'
    HOOKS.build(hook)
    assert udl == joint


@pytest.mark.parametrize('name', BUILT_HERE)
def test_config_builds_and_groups_every_parameter_once(name):
    assert '.' not in Path(name).stem
    cfg = load(name)
    assert cfg.custom_imports == dict(
        imports=['dsts_mmaction'], allow_failed_imports=False)
    model = MODELS.build(cfg.model)
    assert bool(list(dsts_modules(model))) == (name in SPECIALIZED)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        Compose(cfg[loader].dataset.pipeline)
    assert 'test_pipeline' in cfg, 'inference_recognizer reads it'
    assert_grouped_once(model, build_optim_wrapper(model, cfg.optim_wrapper))


@pytest.mark.parametrize(
    'name', [name for name in BUILT_HERE if name in SPECIALIZED])
def test_every_dsts_parameter_moves_within_three_iterations(name):
    torch.manual_seed(0)
    cfg = load(name)
    # In float64: the first updates are far below float32's step at 1.0.
    model = MODELS.build(cfg.model).double().train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    # A config's own weight decay would move a parameter without a gradient.
    for group in optim_wrapper.optimizer.param_groups:
        group['weight_decay'] = 0
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    shape = ((8, 3, 32, 32) if cfg.model.type == 'Recognizer2D' else
             (1, 3, 32, 32, 32))
    for _ in range(3):
        model.train_step(
            dict(inputs=list(torch.randint(256, (4, ) + shape).unbind()),
                 data_samples=[ActionDataSample().set_gt_label(i)
                               for i in range(4)]), optim_wrapper)
    still = [n for n, p in model.named_parameters()
             if '.dsts.' in n and torch.equal(p, before[n])]
    assert not still
