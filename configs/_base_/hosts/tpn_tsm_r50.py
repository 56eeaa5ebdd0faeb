# TPN on TSM-R50 from Something-Something V1, the only data set that MMAction2
# has weights of it for. Augmentation, sampling and batch are those of its
# recipe, as is the rate of neck, heads and DSTS; the schedule and a tenth of
# that rate for the backbone are ours. Something-Something V2 has as many
# classes in another order, so there the classifiers load as well, and have to
# be unlearned; elsewhere they start anew.
_base_ = [
    'mmaction::recognition/tpn/'
    'tpn-tsm_imagenet-pretrained-r50_8xb8-1x1x8-150e_sthv1-rgb.py',
    '../schedules/fine_tuning_30e.py', '../dsts.py'
]

model = dict(
    # load_from brings all weights.
    backbone=dict(pretrained=None, pretrained2d=False),
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        layer='layer4',
        channels=2048,
        num_segments=8,
        test_num_segments=8,
        dsts=_base_.dsts),
    # With fcn_test, TPNHead copies its classifier at the first validation and
    # keeps the copy: every later one would judge an old classifier. Without,
    # it takes one view per video.
    test_cfg=None)

train_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
    dict(type='DecordDecode'),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='ColorJitter'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
val_pipeline = [
    dict(type='DecordInit'),
    dict(
        type='SampleFrames',
        clip_len=1,
        frame_interval=1,
        num_clips=8,
        test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
test_pipeline = val_pipeline

# The recipe reads raw frames.
train_dataloader = dict(
    dataset=dict(_delete_=True, type='VideoDataset', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='VideoDataset',
        pipeline=val_pipeline,
        test_mode=True))
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='VideoDataset',
        pipeline=test_pipeline,
        test_mode=True))

train_cfg = _base_.fine_tuning.train_cfg
param_scheduler = _base_.fine_tuning.param_scheduler
default_hooks = _base_.fine_tuning.default_hooks

optim_wrapper = dict(
    constructor='DSTSOptimWrapperConstructor',
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    optimizer=dict(lr=0.01))

load_from = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/tpn/'
    'tpn-tsm_imagenet-pretrained-r50_8xb8-1x1x8-150e_sthv1-rgb/'
    'tpn-tsm_imagenet-pretrained-r50_8xb8-1x1x8-150e_sthv1-rgb_'
    '20230221-940a3615.pth')

# 8 GPUs x 8 clips
auto_scale_lr = dict(enable=False, base_batch_size=64)
