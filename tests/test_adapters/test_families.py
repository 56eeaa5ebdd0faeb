"""Configs of every family of MMAction2, specialized: the classifier sees
what DSTS does, one iteration trains with UDL, one prediction runs.

One config of each family here, if no other gets the module in the same way;
all of them under ``make test-all``.
"""
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.tailor.placement import placement
from dsts_mmaction.tailor.requirements import missing_package
from dsts_mmaction.tailor.specialize import specialize_config
from dsts_mmaction.udl.options import UDLOptions
from dsts_mmaction.udl.samples import half
from dsts_mmaction.udl.steps import UpstreamLearner
from dsts_mmaction.udl.tails import make_tail
from tests.builders import randomize_dsts, samples
from tests.families import (
    BROKEN,
    CONFIGS,
    FAMILIES,
    VIDEOS,
    VIEWS,
    RandomImages,
    cut,
    first_that_trains,
    short_loader,
    write_clips,
)
from tests.runners import UDL, RandomClips, loader, logged, upstream

DSTS = dict(num_neurons=3, num_layers=2, mid_channels=8)
# Families that get the module as another one does, in ``make test``, too.
ALIKE = dict(c2d='slowonly', csn='slowonly', i3d='slowonly',
             r2plus1d='slowonly', uniformer='slowonly', tanet='tsm',
             videomaev2='videomae', c3d='tpn')


def channels_of(cfg):
    """Input channels: 10 of optical flow, 3 of RGB."""
    return cfg.model.backbone.get('in_channels', 3)


def inputs(cfg, size, frames, videos, views=1):
    channels = channels_of(cfg)
    if cfg.model.type == 'Recognizer2D':
        return torch.randn(videos, views * frames, channels, size, size)
    return torch.randn(videos, views, channels, frames, size, size)


def scores(model, x):
    np.random.seed(0)  # TRN's head draws in tests, too
    with torch.no_grad():
        found = forward(model, x, 'predict')
    return torch.stack([each.pred_score for each in found])


def forward(model, x, mode):
    if type(model).__name__ == 'RecognizerOmni':
        return model(dict(inputs=x, data_samples=samples(len(x))), mode=mode)
    return model(x, samples(len(x)), mode=mode)


def check(cfg, folder):
    cfg, size, frames = cut(cfg)
    plain = MODELS.build(copy.deepcopy(cfg.model)).eval()
    special_cfg = specialize_config(cfg, DSTS)
    special = MODELS.build(special_cfg.model).eval()
    special.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        # What starts at zero in the host hides what comes before it.
        for name, parameter in special.named_parameters():
            if '.dsts.' not in name and not parameter.any():
                parameter.normal_(std=0.02)
    plain.load_state_dict({
        name.replace('cls_head.head.', 'cls_head.'): value
        for name, value in special.state_dict().items()
        if '.dsts.' not in name})
    check_prediction(cfg, plain, special, size, folder)
    for model in (plain, special):
        model.cls_head.average_clips = 'score'
        model.test_cfg = None  # its views are for batches of one
    # TPN takes one view; a TSN's view has other frames in tests.
    views = 1 if ('neck' in cfg.model or 'test_num_segments' in placement(cfg)
                  ) else VIEWS
    x = inputs(cfg, size, frames, 2, views)
    before = scores(plain, x)
    torch.testing.assert_close(scores(special, x), before)

    # (a) a sample alone and in a batch, (c) not the plain scores
    randomize_dsts(special)
    ours = scores(special, x)
    alone = torch.cat([scores(special, each) for each in x.split(1)])
    assert (ours - alone).abs().max() < 1e-3 * ours.abs().max()
    assert (ours - before).abs().amax(1).min() > 1e-5

    # (d) every parameter learns from the classification loss. Two clips may
    # leave a kernel or a rectifier out, three draws of everything do not.
    special.train()
    without = learning_nothing(cfg, special, size, frames)
    for _ in range(2):
        if without:
            randomize_dsts(special)
            without &= learning_nothing(cfg, special, size, frames)
    assert not without
    check_iteration(special_cfg, special, size, frames, folder)
    check_upstream_step(cfg, special, size, frames)


def check_prediction(cfg, plain, special, size, folder):
    """The plain model's prediction, by the config's own test settings."""
    if 'test_dataloader' not in cfg:
        return
    dataset = DATASETS.build(short_loader(cfg, 'test', size, folder).dataset)
    clip = dataset[0]
    found = []
    for model in (plain, special):
        np.random.seed(0)
        with torch.no_grad():
            sample, = model.test_step(
                pseudo_collate([copy.deepcopy(clip)]))
        found.append(sample.pred_score)
    assert found[0].dim() == 1 and found[0].isfinite().all()
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


def check_iteration(cfg, model, size, frames, folder):
    """One of a Runner, with UDL and what the config trains with."""
    optim = copy.deepcopy(cfg.get('optim_wrapper')) or dict(
        constructor='DSTSOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=0.01))
    optim['type'] = 'OptimWrapper'  # bfloat16 may overflow on CPU
    if 'train_dataloader' in cfg:
        train_loader = short_loader(cfg, 'train', size, folder)
    else:
        shape = inputs(cfg, size, frames, 1).shape[1:]
        train_loader = loader(RandomClips(VIDEOS, shape))
    loop = dict(type='EpochBasedTrainLoop', max_epochs=1)
    if cfg.model.type == 'RecognizerOmni':
        loop = dict(type='MultiLoaderEpochBasedTrainLoop', max_epochs=1,
                    other_loaders=[loader(RandomImages(size))])
    runner = Runner(
        model=model, work_dir=str(folder / 'work_dirs'),
        train_dataloader=train_loader, train_cfg=loop, optim_wrapper=optim,
        custom_hooks=[UDL], default_scope='mmaction', log_level='WARNING',
        default_hooks=dict(checkpoint=None), randomness=dict(seed=0),
        experiment_name=f'{folder.name}_{id(model)}')
    if type(model.backbone).__name__ == 'MobileOneTSM':
        # It would load a checkpoint, and has no other way.
        model.backbone.init_weights = lambda: None
    before = upstream(runner)
    runner.train()
    assert runner.iter == 1
    norm, = logged(runner, 'upstream_grad_norm')
    loss, = logged(runner, 'loss')
    assert norm > 0 and np.isfinite(loss)
    assert any(not torch.equal(*pair)
               for pair in zip(before, upstream(runner)))


def check_upstream_step(cfg, model, size, frames):
    """Synapses and gates move, and nothing else does."""
    before = {n: v.clone() for n, v in model.state_dict().items()}
    data = dict(inputs=inputs(cfg, size, frames, 4), data_samples=samples(4))
    tail = make_tail(model)
    assert tail.shares == (model.cls_head.layer is None)
    learner = UpstreamLearner(model, tail, UDLOptions(
        optimizer=dict(type='SGD', lr=0.1)))
    captured = tail.capture(model, data).detach()
    learner.accumulate(*captured.split(half(4)), 0.3, 1.0)
    step = learner.step()
    assert step.skipped is None and step.grad_norm > 0
    upstream = {id(p) for m in dsts_modules(model)
                for p in m.upstream_parameters()}
    deciding = {n for n, p in model.named_parameters() if id(p) in upstream}
    moved = {n for n, v in model.state_dict().items()
             if not torch.equal(v, before[n])}
    assert moved and moved <= deciding


def learning_nothing(cfg, model, size, frames):
    """Names of the DSTS parameters without a gradient."""
    model.zero_grad()
    losses = forward(model, inputs(cfg, size, frames, 2), 'loss')
    sum(loss for name, loss in losses.items()
        if name.startswith('loss_cls')).backward()
    return {name for module in dsts_modules(model)
            for name, parameter in module.named_parameters()
            if parameter.grad is None or not parameter.grad.any()}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp('families'))


@pytest.mark.parametrize('family', [
    pytest.param(family, marks=[pytest.mark.slow] * (family in ALIKE))
    for family in FAMILIES])
def test_one_of_each_family(family, folder):
    run(Config.fromfile(first_that_trains(family)), folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', [path for paths in CONFIGS.values() for path in paths],
    ids=lambda path: path.stem)
def test_all(path, folder):
    run(Config.fromfile(path), folder)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['timm.resnet50', 'torchvision.resnet50'])
def test_tsn_over(name, folder):
    cfg = Config.fromfile(first_that_trains('tsn'))
    cfg.model.backbone = dict(type=name)
    run(cfg, folder)


def run(cfg, folder):
    init_default_scope('mmaction')
    reason = missing_package(cfg) or BROKEN.get(Path(cfg.filename).stem)
    if reason:
        pytest.skip(reason)
    check(cfg, folder)
