"""DSTSHead behind a layer of the backbone, where the head gets no map."""
import copy

import pytest
import torch
from einops import rearrange
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import init_default_scope

from dsts_mmaction.adapters.layouts import TokenLayout
from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.tailor.placement import placement
from dsts_mmaction.tailor.specialize import specialize_config
from dsts_mmaction.udl.tails import RecognizerTail, make_tail
from tests.builders import (
    DSTS,
    NUM_CLASSES,
    build,
    clips,
    logits,
    preprocessor,
    randomize_dsts,
    samples,
    specialize,
    tsm,
)
from tests.reference import dense_forward

SIZE, FRAMES = 32, 4


def recognizer(backbone, head, kind='Recognizer3D', **parts):
    init_default_scope('mmaction')
    return dict(
        type=kind, backbone=backbone, **parts,
        cls_head=dict(num_classes=NUM_CLASSES, average_clips='score', **head),
        data_preprocessor=preprocessor(
            'NCTHW' if kind == 'Recognizer3D' else 'NCHW'))


def videomae():
    return recognizer(
        dict(type='VisionTransformer', img_size=SIZE, patch_size=16,
             embed_dims=24, depth=2, num_heads=2, num_frames=FRAMES,
             norm_cfg=dict(type='LN', eps=1e-6)),
        dict(type='TimeSformerHead', in_channels=24, init_std=1.0))


def timesformer(attention='divided_space_time'):
    return recognizer(
        dict(type='TimeSformer', num_frames=FRAMES, img_size=SIZE,
             patch_size=16, embed_dims=24, num_heads=2,
             num_transformer_layers=3, attention_type=attention,
             norm_cfg=dict(type='LN', eps=1e-6)),
        dict(type='TimeSformerHead', in_channels=24, init_std=1.0))


def mvit():
    return recognizer(
        dict(type='MViT', spatial_size=SIZE, temporal_size=FRAMES,
             arch=dict(embed_dims=8, num_layers=4, num_heads=1,
                       downscale_indices=[1])),
        dict(type='MViTHead', in_channels=16, dropout_ratio=0, init_scale=1.0))


def uniformerv2():
    return recognizer(
        dict(type='UniFormerV2', input_resolution=SIZE, patch_size=16,
             width=24, layers=3, heads=2, t_size=FRAMES, dw_reduction=1.5,
             backbone_drop_path_rate=0., temporal_downsample=False,
             no_lmhra=True, double_lmhra=True, return_list=[1, 2],
             n_layers=2, n_dim=24, n_head=2, mlp_factor=4.,
             drop_path_rate=0., mlp_dropout=[0., 0.],
             clip_pretrained=False),
        dict(type='TimeSformerHead', in_channels=24, init_std=1.0))


def tpn():
    return recognizer(
        dict(type='ResNetTSM', depth=50, out_indices=(2, 3), pretrained=None,
             num_segments=FRAMES, pretrained2d=False),
        dict(type='TPNHead', in_channels=2048, spatial_type='avg',
             consensus=dict(type='AvgConsensus', dim=1), dropout_ratio=0,
             init_std=1.0),
        'Recognizer2D',
        neck=dict(
            type='TPN', in_channels=(1024, 2048), out_channels=1024,
            spatial_modulation_cfg=dict(in_channels=(1024, 2048),
                                        out_channels=2048),
            temporal_modulation_cfg=dict(
                downsample_scales=(FRAMES, FRAMES)),
            upsample_cfg=dict(scale_factor=(1, 1, 1)),
            downsample_cfg=dict(downsample_scale=(1, 1, 1)),
            level_fusion_cfg=dict(in_channels=(1024, 1024),
                                  mid_channels=(1024, 1024),
                                  out_channels=2048,
                                  downsample_scales=((1, 1, 1),
                                                     (1, 1, 1))),
            aux_head_cfg=dict(out_channels=NUM_CLASSES, loss_weight=0.5)))


# How einops writes what the specialized layer gives.
PATTERNS = dict(
    videomae='b (t h w) c', timesformer='b (h w t) c',
    timesformer_space_only='(b t) (h w) c', mvit='b (t h w) c',
    uniformerv2='(h w) (b t) c', tpn='(b t) c h w')
CASES = dict(
    videomae=videomae(), timesformer=timesformer(),
    timesformer_space_only=timesformer('space_only'), mvit=mvit(),
    uniformerv2=uniformerv2(), tpn=tpn())
CLASS_TOKENS = {name: 'former' in name or name == 'mvit' for name in CASES}
case = pytest.mark.parametrize('name', CASES)


def options(cfg):
    """Options of DSTSHead, found as for any config."""
    pipeline = [dict(type='SampleFrames', clip_len=1, num_clips=FRAMES)]
    loader = dict(dataset=dict(pipeline=pipeline))
    return placement(Config(dict(model=cfg, train_dataloader=loader,
                                 test_dataloader=loader)))


def pair(name):
    cfg = CASES[name]
    plain, special = build(cfg), build(specialize(cfg, **options(cfg)))
    if name == 'uniformerv2':
        # Its class token begins to read the tokens in training.
        for parameter in plain.backbone.transformer.dec.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    special.load_state_dict(plain.state_dict(), strict=False)
    return cfg, plain.eval(), special.eval()


def inputs(cfg, videos=2, views=1):
    return clips(cfg, videos, views, FRAMES, SIZE)


@case
def test_identity_then_the_reference_on_the_layer_s_map(name):
    cfg, plain, special = pair(name)
    x = inputs(cfg)
    before = logits(plain, x)
    torch.testing.assert_close(logits(special, x), before, rtol=0, atol=1e-12)

    randomize_dsts(special)
    module, = dsts_modules(special)
    pattern, with_class = PATTERNS[name], CLASS_TOKENS[name]
    sizes = dict(t=FRAMES // 2 if name in ('videomae', 'mvit') else FRAMES)
    axis = 0 if name == 'uniformerv2' else 1

    def reference(layer, args, output):
        features = output[0] if name == 'mvit' else output
        tokens = features
        if with_class:
            tokens = features.narrow(axis, 1, features.shape[axis] - 1)
        if '(h w' in pattern or 'h w)' in pattern:
            height = {'mvit': output[1][1]} if name == 'mvit' else {}
            sizes['h'] = height.get('mvit', SIZE // 16)
        found = rearrange(tokens, f'{pattern} -> b c t h w', **sizes)
        new = dense_forward(module, found)[0]
        new = rearrange(new, f'b c t h w -> {pattern}')
        if with_class:
            new = torch.cat([features.narrow(axis, 0, 1), new], axis)
        return (new, output[1]) if name == 'mvit' else new

    plain.backbone.get_submodule(
        special.cls_head.layer).register_forward_hook(reference)
    ours, expected = logits(special, x), logits(plain, x)
    torch.testing.assert_close(ours, expected)
    assert (ours - before).abs().amax(1).min() > 1e-4


@case
def test_a_sample_alone_in_a_batch_and_among_views(name):
    cfg, _, special = pair(name)
    randomize_dsts(special)
    views = 1 if name == 'tpn' else 2  # TPN's own neck takes no more
    x = inputs(cfg, 2, views)
    together = special(x, samples(2), mode='predict')
    alone = [[special(view, samples(1), mode='predict')[0].pred_score
              for view in video.unsqueeze(0).chunk(views, dim=1)]
             for video in x]
    for sample, scores in zip(together, alone):
        torch.testing.assert_close(sample.pred_score, sum(scores) / views)


@case
def test_every_parameter_learns_from_the_classification_loss(name):
    cfg, _, special = pair(name)
    randomize_dsts(special)
    special.train()
    losses = special(inputs(cfg, 4), samples(4), mode='loss')
    assert {'loss_dsts_balance', 'loss_dsts_router_z', 'dsts_residual',
            'loss_cls'} <= set(losses)
    losses['loss_cls'].backward()
    for module in dsts_modules(special):
        for parameter_name, parameter in module.named_parameters():
            assert parameter.grad.abs().max() > 0, parameter_name
    # They do not show up a second time.
    assert special.cls_head._layer_losses == {}


@case
def test_copies_and_upstream_learning(name):
    _, _, special = pair(name)
    assert isinstance(make_tail(special), RecognizerTail)
    average = ExponentialMovingAverage(special)
    randomize_dsts(average.module)
    x = inputs(CASES[name])
    ours = logits(special, x)
    # The copy's layer is specialized by the copy's module, and by no other.
    assert not torch.allclose(logits(average.module, x), ours)
    copied = copy.deepcopy(average.module)
    torch.testing.assert_close(logits(copied, x), logits(average.module, x))
    torch.testing.assert_close(logits(special, x), ours)


@pytest.mark.parametrize('layout, shape', [
    (TokenLayout((2, 3, 5)), (4, 30, 7)),
    (TokenLayout((2, 3, 5), 'hwt', 2), (4, 32, 7)),
    (TokenLayout((2, 3, 5), class_tokens=1), (8, 16, 7)),
    (TokenLayout((2, 3, 5), class_tokens=1, sequence_first=True), (16, 8, 7)),
    (TokenLayout((1, 3, 5)), (4, 15, 7)),
])
def test_there_and_back(layout, shape):
    tokens = torch.randn(shape)
    found = layout.to_clips(tokens, 'blocks.0')
    assert found.shape == (4, 7, *layout.grid)
    assert torch.equal(layout.from_clips(found, tokens), tokens)
    changed = layout.from_clips(found + 1, tokens) - tokens
    classes = changed.transpose(0, 1) if layout.sequence_first else changed
    assert not classes[:, :layout.class_tokens].any()


@pytest.mark.parametrize('change, message', [
    (dict(channels=None), r"layer='layer4' of DSTSHead needs channels"),
    (dict(layer='layer5'), r"layer='layer5' .* it has, among others, .*layer"),
    (dict(tokens=dict(order='wht')), r'tokens.order must be one of'),
    (dict(tokens=dict(grid=(1, 2))), r'tokens.grid must be three'),
    (dict(tokens=dict(shape=(1, 2))), r"tokens of DSTSHead has no .*'shape'"),
    (dict(tokens=dict(class_tokens=-1)), r'tokens.class_tokens must be'),
])
def test_wrong_options(change, message):
    cfg = specialize(tsm(), **{'layer': 'layer4', 'channels': 512, **change})
    with pytest.raises(ValueError, match=message):
        build(cfg)


def test_tokens_that_make_no_grid():
    cfg = specialize(videomae(), layer='blocks.0', channels=24,
                     tokens=dict(grid=(2, 3, 3)))
    with pytest.raises(ValueError, match=r"'blocks.0' gives .*\(2, 3, 3\)"):
        logits(build(cfg).eval(), inputs(videomae()))
    del cfg['cls_head']['tokens']
    with pytest.raises(ValueError, match='tokens and not their grid'):
        logits(build(cfg).eval(), inputs(videomae()))


def test_test_views_of_recognizer2d_may_have_more_frames():
    cfg = specialize(tsm(), layer='layer4', channels=512)
    special = build(cfg).eval()
    randomize_dsts(special)
    x = clips(tsm(), 2, 3)
    together = special(x, samples(2), mode='predict')[0].pred_score
    alone = [special(view, samples(1), mode='predict')[0].pred_score
             for view in x[:1].chunk(3, dim=1)]
    torch.testing.assert_close(together, sum(alone) / 3)


@pytest.mark.parametrize('model, message', [
    (dict(backbone=dict(type='timm.vit')), 'timm.vit: give layer'),
    (dict(neck=dict(type='MyNeck')), 'MyNeck: give layer and channels'),
    (dict(cls_head=None), 'must be there'),
    (dict(cls_head=dict(type='H')), 'in_channels must be an integer')])
def test_places_that_have_to_be_given(model, message):
    cfg = dict(type='Recognizer3D', backbone=dict(type='X3D'),
               cls_head=dict(type='I3DHead', in_channels=8))
    with pytest.raises(ValueError, match=message):
        specialize_config(Config(dict(model={**cfg, **model})), DSTS)


def test_maps_with_channels_last():
    place = dict(layer='layer4', channels=512)
    usual = build(specialize(tsm(), **place)).eval()
    special = build(specialize(
        tsm(), tokens=dict(channels_last=True), **place)).eval()
    randomize_dsts(usual)
    special.load_state_dict(usual.state_dict())
    # Its layer as one that gives (B, H, W, C), around DSTSHead's hook.
    layer = special.backbone.layer4
    layer.register_forward_hook(lambda *call: call[2].movedim(1, -1),
                                prepend=True)
    layer.register_forward_hook(lambda *call: call[2].movedim(-1, 1))
    x = clips(tsm())
    torch.testing.assert_close(logits(special, x), logits(usual, x))


@pytest.mark.parametrize('name, place', [
    ('timm.resnext50_32x4d', dict(layer='layer4')),
    ('torchvision.densenet121', dict(layer='features')),
    ('timm.swin_base_patch4_window7_224',
     dict(layer='norm', tokens=dict(channels_last=True)))])
def test_places_in_backbones_of_other_packages(name, place):
    cfg = Config(dict(model=dict(
        type='Recognizer3D', backbone=dict(type=name),
        cls_head=dict(type='I3DHead', in_channels=24))))
    assert placement(cfg) == dict(place, channels=24)
