"""DSTSHead in real recognizers: what the classifier sees of it, loading of
plain state dicts, and the errors at build time."""
import copy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.runner.checkpoint import load_state_dict

from dsts_mmaction.adapters.pathways import _relative_norm
from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.models import DSTSHead
from tests.builders import (
    NUM_CLASSES,
    build,
    build_pair,
    clips,
    logits,
    randomize_dsts,
    samples,
    slowfast,
    slowonly,
    specialize,
    tsm,
    tsn,
)
from tests.reference import dense_forward

CASES = {
    'tsm': (tsm(), {}, 8),
    'tsm_temporal_pool': (tsm(temporal_pool=True), {}, 8),
    'tsn': (tsn(), dict(num_segments=3), 3),
    'slowfast': (slowfast(), dict(channels=(128, 16)), 8),
    'slowfast_slow_only': (slowfast(), dict(channels=(128, 16), pathways=[0]),
                           8),
    'slowonly': (slowonly(), {}, 8),
}
case = pytest.mark.parametrize('name', CASES)


def pair(name):
    cfg, options, frames = CASES[name]
    return (cfg, frames, *build_pair(cfg, **options))


@case
def test_identity_after_construction_and_after_init_weights(name):
    cfg, frames, plain, special = pair(name)
    inputs = clips(cfg, frames=frames)
    torch.testing.assert_close(
        logits(special, inputs), logits(plain, inputs), rtol=0, atol=1e-12)
    randomize_dsts(special)
    assert not torch.allclose(logits(special, inputs), logits(plain, inputs))
    special.init_weights()
    plain.load_state_dict({
        k.replace('cls_head.head.', 'cls_head.'): v
        for k, v in special.state_dict().items() if '.dsts.' not in k
    })
    torch.testing.assert_close(
        logits(special, inputs), logits(plain, inputs), rtol=0, atol=1e-12)


@case
def test_identity_survives_an_init_cfg_that_touches_all_norms(name):
    cfg, options, frames = CASES[name]
    special = build(specialize(cfg, **options))
    special.init_cfg = dict(type='Constant', val=1.0,
                            layer=['BatchNorm2d', 'BatchNorm3d'])
    special.init_weights()
    for module in dsts_modules(special):
        assert not module.readout.linear.weight.any()


@case
def test_a_sample_alone_in_a_batch_and_among_views(name):
    cfg, frames, _, special = pair(name)
    randomize_dsts(special)
    inputs = clips(cfg, videos=3, views=3, frames=frames)
    together = logits(special, inputs)
    alone = torch.cat([
        logits(special, view) for video in inputs
        for view in video.unsqueeze(0).chunk(3, dim=1)
    ])
    if name == 'tsn':  # averages over views itself, before its linear layer
        alone = alone.unflatten(0, (3, 3)).mean(1)
    torch.testing.assert_close(together, alone)


@case
def test_logits_equal_the_reference_on_the_clip_s_own_map(name):
    cfg, frames, plain, special = pair(name)
    randomize_dsts(special)
    inputs = clips(cfg, videos=2, views=2, frames=frames)
    ours = logits(special, inputs)
    views = inputs.unflatten(1, (2, -1)).flatten(0, 1)  # (4, T or 1, ...)
    modules = list(dsts_modules(special))
    assert modules
    expected = []
    for view in views:
        feats, kwargs = plain.extract_feat(view.unsqueeze(0), test_mode=True)
        maps = feats if isinstance(feats, tuple) else (feats, )
        out = list(maps)
        for i, module in enumerate(modules):
            own = maps[i]
            if cfg['type'] == 'Recognizer2D':  # (T, C, H, W)
                own = own.transpose(0, 1).unsqueeze(0)
            own = dense_forward(module, own)[0]
            if cfg['type'] == 'Recognizer2D':
                own = own[0].transpose(0, 1)
            out[i] = own
        feats = tuple(out) if isinstance(feats, tuple) else out[0]
        expected.append(plain.cls_head(feats, **kwargs))
    expected = torch.cat(expected)
    if name == 'tsn':
        expected = expected.unflatten(0, (2, 2)).mean(1)
    torch.testing.assert_close(ours, expected)
    difference = (ours - logits(plain, inputs)).abs()
    assert difference.amax(1).min() > 1e-3


def test_logs_how_much_the_module_adds():
    special = build(specialize(tsm()))
    randomize_dsts(special)
    special.train()
    module, = dsts_modules(special)
    kept = []
    module.register_forward_hook(
        lambda _, args, output: kept.append((args[0], output.features)))
    losses = special.loss(clips(tsm(), videos=3), samples(3))
    (before, after), = kept
    expected = (after - before).norm() / before.norm()
    assert losses['dsts_residual'].item() == pytest.approx(
        expected.item(), rel=1e-4)
    assert not losses['dsts_residual'].requires_grad


@pytest.mark.parametrize('part', [0.0, 2.0])
def test_the_residual_of_features_that_are_zero(part):
    assert _relative_norm(torch.full((3, ), part), torch.zeros(3)) == 0


@case
def test_classification_loss_reaches_every_dsts_parameter(name):
    cfg, options, frames = CASES[name]
    off = dict(balance_loss_weight=0., router_z_loss_weight=0.)
    special = build(
        specialize(cfg, **options,
                   dsts=dict(num_neurons=2, num_layers=2, mid_channels=16,
                             **off)))
    randomize_dsts(special)
    for module in dsts_modules(special):
        for layer in module.layers:
            # Half of each neuron's channels spatial, or an operator that no
            # selected neuron uses would have no gradient by chance.
            with torch.no_grad():
                layer.neurons.gate_logits.copy_(
                    torch.tensor([[3., -3.], [-3., 3.]]).repeat(8, 1))
    special.train()
    losses = special.loss(clips(cfg, videos=8, frames=frames), samples(8))
    losses['loss_cls'].backward()
    for module in dsts_modules(special):
        for parameter_name, parameter in module.named_parameters():
            assert parameter.grad.abs().max() > 0, parameter_name


@case
def test_losses_and_predictions(name):
    cfg, frames, plain, special = pair(name)
    inputs = clips(cfg, videos=3, frames=frames)
    for ours, theirs in zip(special.predict(inputs, samples(3)),
                            plain.predict(inputs, samples(3))):
        torch.testing.assert_close(ours.pred_score, theirs.pred_score)
    special.train()
    losses = special.loss(inputs, samples(3))
    suffixes = {
        'slowfast': ['_pathway0', '_pathway1'],
        'slowfast_slow_only': ['_pathway0']
    }.get(name, [''])
    expected = {'top1_acc', 'top5_acc', 'loss_cls'}
    for suffix in suffixes:
        expected |= {f'loss_dsts_balance{suffix}',
                     f'loss_dsts_router_z{suffix}',
                     f'dsts_largest_share{suffix}',
                     f'dsts_residual{suffix}'}
        assert losses[f'dsts_residual{suffix}'] == 0
        assert 1 / 3 <= losses[f'dsts_largest_share{suffix}'] <= 1
    assert set(losses) == expected


@case
@pytest.mark.parametrize('loader', ['torch', 'mmengine', 'ema'])
def test_plain_state_dict_loads_by_its_old_names(name, loader):
    cfg, options, frames = CASES[name]
    plain, special = build(cfg).eval(), build(specialize(cfg, **options))
    state = plain.state_dict()
    keys = set(state)
    if loader == 'torch':
        result = special.load_state_dict(state, strict=False)
        assert not result.unexpected_keys
        missing = set(result.missing_keys)
        assert missing
        assert all(k.startswith('cls_head.dsts.') for k in missing)
        target = special
    elif loader == 'mmengine':
        load_state_dict(special, state)
        target = special
    else:
        target = ExponentialMovingAverage(special)
        load_state_dict(target.module, state)
        target = target.module
    assert set(state) == keys, 'the given state dict was changed'
    loaded = target.state_dict()
    for key, value in state.items():
        key = key.replace('cls_head.', 'cls_head.head.')
        assert torch.equal(loaded[key], value), key
    inputs = clips(cfg, frames=frames)
    torch.testing.assert_close(
        logits(target.eval(), inputs), logits(plain, inputs))


@case
def test_own_state_dict_loads_strictly(name):
    cfg, options, _ = CASES[name]
    first, second = (build(specialize(cfg, **options)) for _ in range(2))
    randomize_dsts(first)
    second.load_state_dict(first.state_dict(), strict=True)
    state = {f'module.{k}': v for k, v in first.state_dict().items()}
    torch.nn.ModuleDict(dict(module=second)).load_state_dict(state)


def test_options_of_the_wrapped_head_are_read_and_written_through():
    head = build(specialize(tsm())).cls_head
    assert head.average_clips == 'score'
    assert head.num_classes == NUM_CLASSES
    assert head.in_channels == 512
    assert head.topk == (1, 5)
    head.average_clips, head.topk = 'prob', (1, )
    head.num_classes, head.in_channels = 7, 9
    assert head.head.average_clips == 'prob' and head.head.topk == (1, )
    assert head.head.num_classes == 7 and head.head.in_channels == 9


def test_tsn_validation_and_test_may_sample_other_numbers_of_frames():
    cfg = specialize(tsn(), num_segments=3, test_num_segments=5)
    special = build(cfg).eval()
    randomize_dsts(special)
    for frames, views in [(3, 1), (5, 1), (5, 4)]:
        inputs = clips(cfg, videos=2, views=views, frames=frames)
        # TSNHead averages over all frames of all views, so compare features.
        feats, kwargs = special.extract_feat(inputs, test_mode=True)
        ours, _ = special.cls_head._specialize(feats, kwargs)
        per_view = feats.unflatten(0, (-1, frames)).transpose(1, 2)
        module, = dsts_modules(special)
        expected = dense_forward(module, per_view)[0]
        torch.testing.assert_close(ours,
                                   expected.transpose(1, 2).flatten(0, 1))


@pytest.mark.parametrize('cfg, options, message', [
    (tsn(), {}, 'TSNHead does not say how many frames a view has: set '
     'num_segments'),
    (tsn(), dict(test_num_segments=5), 'needs num_segments'),
    (tsn(), dict(num_segments=8, test_num_segments=4),
     'test_num_segments=4 of DSTSHead divides num_segments=8'),
    (tsm(), dict(num_segments=4),
     'num_segments=4 of DSTSHead contradicts num_segments=8 of TSMHead'),
    (tsm(), dict(channels=256),
     'channels=256 of DSTSHead must sum to in_channels=512 of TSMHead'),
    (slowfast(), {}, 'SlowFastHead takes two pathways: set channels'),
    (slowfast(), dict(channels=(128, 32)), 'must sum to in_channels=144'),
    (slowfast(), dict(channels=(128, 16), pathways=[2]),
     'pathways must be a list of different indices from 0 to 1, got '
     '\\[2\\]'),
    (slowfast(), dict(channels=(128, 16), pathways=[]), 'pathways must be'),
    (slowfast(), dict(channels=(128, 16), pathways=0), 'got 0'),
    (slowfast(), dict(channels=144), 'two pathways.*got channels=144'),
    (tsn(), dict(num_segments=0),
     'num_segments of DSTSHead must be an integer of 1 or more, got 0'),
    (tsn(), dict(num_segments=3, test_num_segments='x'),
     "test_num_segments of DSTSHead must be an integer.*got 'x'"),
    (tsm(), dict(dsts=dict(neurons=3)),
     "dsts has no option 'neurons'; allowed are num_neurons, num_layers"),
    (tsm(), dict(dsts=dict(num_neurons=0)), 'num_neurons must be an integer'),
    (dict(slowonly(), cls_head=dict(type='FeatureHead')), {},
     'FeatureHead does not say how many channels'),
])
def test_wrong_options_are_named_at_build_time(cfg, options, message):
    with pytest.raises(ValueError, match=message):
        build(specialize(cfg, **options))


def test_unknown_layouts_name_backbone_and_shape():
    special = build(specialize(tsm())).eval()
    for feats, shape in [
        (torch.randn(2, 512).double(), r'shape \(2, 512\)'),
        ([torch.randn(2, 512, 1, 1), [torch.randn(2, 3)]],
         r'list of \(shape \(2, 512, 1, 1\), list of \(shape \(2, 3\)\)\)')]:
        with pytest.raises(ValueError, match=f'ResNetTSM.*{shape}'):
            special.cls_head(feats, num_segs=8)
    with pytest.raises(ValueError, match='not made of whole views of 8'):
        special.cls_head(torch.randn(12, 512, 2, 2).double(), num_segs=12)
    two = build(specialize(slowfast(), channels=(128, 16))).eval()
    with pytest.raises(ValueError, match='2 pathways are configured, but '
                       'backbone ResNet3dSlowFast gave shape'):
        two.cls_head(torch.randn(2, 144, 4, 2, 2).double())


def test_swapped_pathways_are_named():
    swapped = build(specialize(slowfast(), channels=(16, 128))).eval()
    with pytest.raises(ValueError, match='16 channels are configured, but '
                       'backbone ResNet3dSlowFast gave shape .2, 128.*check '
                       'channels of DSTSHead'):
        logits(swapped, clips(slowfast()))


def test_a_head_built_alone_asks_for_frames_when_it_needs_them():
    head = DSTSHead(tsn()['cls_head'], dict(num_neurons=2, num_layers=1))
    with pytest.raises(ValueError, match='set num_segments'):
        head(torch.randn(3, 512, 2, 2), num_segs=3)


def test_configs_are_not_changed_by_building():
    cfg = specialize(slowfast(), channels=(128, 16))
    before = copy.deepcopy(cfg)
    build(cfg)
    assert cfg == before
