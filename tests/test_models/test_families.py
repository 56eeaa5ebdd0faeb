"""Configs of every family of MMAction2, specialized: the classifier sees
what DSTS does, one iteration trains with UDL, one prediction runs.

Input is cut (frames of 32x32 pixels, few views), structure is not. One config
of each family here; all of them under ``make test-all``.
"""
import copy
from pathlib import Path

import mmaction
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from dsts_mmaction.engine.upstream_downstream import (UpstreamLearner, half,
                                                      make_tail)
from dsts_mmaction.models.placement import placement
from dsts_mmaction.models.specialize import specialize_config
from dsts_mmaction.models.unspecialized import dsts_modules
from tests.builders import randomize_dsts, samples

ROOT = Path(mmaction.__file__).parent / '.mim' / 'configs' / 'recognition'
FAMILIES = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
CONFIGS = {family: sorted((ROOT / family).glob('*.py'))
           for family in FAMILIES}
SIZE, VIEWS = 32, 2
# A transformer's grid follows from its input.
SIZES = dict(VisionTransformer='img_size', TimeSformer='img_size',
             MViT='spatial_size', UniFormerV2='input_resolution')
# Smallest inputs of those that need more.
LARGER = dict(C3D=112)
DSTS = dict(num_neurons=3, num_layers=2, mid_channels=8)


def first_that_trains(family):
    for path in CONFIGS[family]:
        if 'optim_wrapper' in Config.fromfile(path):
            return path
    return CONFIGS[family][0]


def cut(path):
    """A config with its input cut, and height and frames of a view."""
    cfg = Config.fromfile(path)
    backbone = cfg.model.backbone
    for part in (backbone, backbone.get('slow_pathway'),
                 backbone.get('fast_pathway')):
        if part is not None and part.get('pretrained'):
            part.pretrained = None
    backbone.pop('init_cfg', None)
    if 'clip_pretrained' in backbone:
        backbone.clip_pretrained = False
    # Paths that are dropped at random have no gradient.
    for option in ('drop_path_rate', 'backbone_drop_path_rate'):
        if option in backbone:
            backbone[option] = 0.0
    if backbone.type == 'MViT':
        backbone.drop_path_rate = 0.0
    size = LARGER.get(backbone.type, SIZE)
    option = SIZES.get(backbone.type)
    if option is not None:
        patch = backbone.get('patch_size', 16)
        size = 2 * patch if isinstance(patch, int) else SIZE
        backbone[option] = size
    return cfg, size, frames_of(cfg)


def frames_of(cfg):
    """Frames of a view."""
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader')
    if loader is None:  # a base for other configs
        return cfg.model.backbone.t_size
    if isinstance(loader, (list, tuple)):
        loader = loader[0]
    dataset = loader.dataset
    while 'pipeline' not in dataset:
        dataset = dataset.get('dataset') or dataset.datasets[0]
    sampling = next(step for step in dataset.pipeline
                    if 'Sample' in step.type)
    frames = sampling.get('clip_len', 1)
    if cfg.model.type == 'Recognizer2D':
        frames *= sampling.get('num_clips', 1)
    return frames


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


def check(path):
    cfg, size, frames = cut(path)
    init_default_scope('mmaction')
    plain = MODELS.build(copy.deepcopy(cfg.model)).eval()
    special = MODELS.build(specialize_config(cfg, DSTS).model).eval()
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
    if cfg.model.type != 'RecognizerOmni':  # batches of images and videos
        check_upstream_step(cfg, special, size, frames)


def check_upstream_step(cfg, model, size, frames):
    """Synapses and gates move, and nothing else does."""
    before = {n: v.clone() for n, v in model.state_dict().items()}
    data = dict(inputs=inputs(cfg, size, frames, 4), data_samples=samples(4))
    tail = make_tail(model)
    assert tail.shares == (model.cls_head.layer is None)
    learner = UpstreamLearner(model, tail, dict(type='SGD', lr=0.1))
    captured = tail.capture(model, data).detach()
    learner.accumulate(*captured.split(half(4)), 0.3, 1.0, {})
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


@pytest.mark.parametrize('family', FAMILIES)
def test_one_of_each_family(family):
    run(first_that_trains(family))


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', [path for paths in CONFIGS.values() for path in paths],
    ids=lambda path: path.stem)
def test_all(path):
    run(path)


def run(path):
    family = path.parent.name
    if family == 'tin':
        pytest.importorskip('mmcv.ops', reason='tin needs the operators of '
                            'the full mmcv')
    backbone = Config.fromfile(path).model.backbone.type
    init_default_scope('mmaction')
    if MODELS.get(backbone) is None:
        pytest.skip(f'{backbone} needs mmpretrain')
    check(path)
