"""Small recognizers of MMAction2, plain and specialized."""
import copy

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.registry import init_default_scope

import dsts_mmaction  # noqa: F401
from dsts_mmaction.adapters.specialized import dsts_modules
from tests.reference import randomize

NUM_CLASSES = 5
DSTS = dict(num_neurons=3, num_layers=2, mid_channels=8)


def preprocessor(format_shape):
    return dict(type='ActionDataPreprocessor', mean=[120.] * 3,
                std=[60.] * 3, format_shape=format_shape)


# Strides that leave a 2x2 map of 16x16 images: big enough to be spatial.
RESNET = dict(depth=18, pretrained=None, strides=(1, 2, 1, 1))


def tsm(temporal_pool=False):
    return dict(
        type='Recognizer2D',
        backbone=dict(RESNET, type='ResNetTSM', pretrained2d=False,
                      temporal_pool=temporal_pool),
        cls_head=dict(type='TSMHead', num_classes=NUM_CLASSES,
                      in_channels=512, dropout_ratio=0, init_std=1.0,
                      temporal_pool=temporal_pool, average_clips='score'),
        data_preprocessor=preprocessor('NCHW'))


def tsn():
    return dict(
        type='Recognizer2D',
        backbone=dict(RESNET, type='ResNet'),
        cls_head=dict(type='TSNHead', num_classes=NUM_CLASSES,
                      in_channels=512, dropout_ratio=0, init_std=1.0,
                      average_clips='score'),
        data_preprocessor=preprocessor('NCHW'))


def slowfast():
    pathway = dict(type='resnet3d', depth=18, pretrained=None,
                   conv1_stride_t=1, pool1_stride_t=1,
                   spatial_strides=(1, 2, 1, 1))
    return dict(
        type='Recognizer3D',
        backbone=dict(
            type='ResNet3dSlowFast', pretrained=None, resample_rate=4,
            speed_ratio=4, channel_ratio=8,
            slow_pathway=dict(pathway, lateral=True, base_channels=16,
                              conv1_kernel=(1, 7, 7),
                              dilations=(1, 1, 1, 1), inflate=(0, 0, 1, 1)),
            fast_pathway=dict(pathway, lateral=False, base_channels=2,
                              conv1_kernel=(5, 7, 7))),
        cls_head=dict(type='SlowFastHead', num_classes=NUM_CLASSES,
                      in_channels=144, dropout_ratio=0, init_std=1.0,
                      average_clips='score'),
        data_preprocessor=preprocessor('NCTHW'))


def slowonly():
    return dict(
        type='Recognizer3D',
        backbone=dict(type='ResNet3dSlowOnly', depth=18, pretrained=None,
                      base_channels=16, spatial_strides=(1, 2, 1, 1),
                      lateral=False, conv1_kernel=(1, 7, 7),
                      conv1_stride_t=1, pool1_stride_t=1,
                      inflate=(0, 0, 1, 1)),
        cls_head=dict(type='I3DHead', num_classes=NUM_CLASSES,
                      in_channels=128, dropout_ratio=0, init_std=1.0,
                      average_clips='score'),
        data_preprocessor=preprocessor('NCTHW'))


def specialize(cfg, **options):
    """The config of the specialized twin."""
    cfg = copy.deepcopy(cfg)
    options.setdefault('dsts', DSTS)
    cfg['cls_head'] = dict(type='DSTSHead', head=cfg['cls_head'], **options)
    return cfg


def build(cfg):
    init_default_scope('mmaction')
    return MODELS.build(copy.deepcopy(cfg)).double()


def build_pair(cfg, **options):
    """A plain recognizer and its twin with the same weights."""
    plain, special = build(cfg), build(specialize(cfg, **options))
    special.load_state_dict(plain.state_dict(), strict=False)
    return plain.eval(), special.eval()


def randomize_dsts(model):
    for module in dsts_modules(model):
        randomize(module)


def clips(cfg, videos=2, views=1, frames=8, size=16):
    """Normalised input of ``views`` clips or crops per video."""
    if cfg['type'] == 'Recognizer2D':
        shape = (videos, views * frames, 3, size, size)
    else:
        shape = (videos, views, 3, frames, size, size)
    return torch.randn(shape, dtype=torch.float64)


def samples(count):
    return [ActionDataSample().set_gt_label(i % NUM_CLASSES)
            for i in range(count)]


def logits(model, inputs):
    """Class scores of every view, (videos * views, num_classes)."""
    feats, kwargs = model.extract_feat(inputs, test_mode=True)
    return model.cls_head(feats, **kwargs)
