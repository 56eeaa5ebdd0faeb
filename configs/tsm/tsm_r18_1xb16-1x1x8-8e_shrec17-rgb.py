# TSM-ResNet-18 from scratch on 64x64 clips: no weights to download.
_base_ = [
    'mmaction::_base_/models/tsm_r50.py', '../_base_/datasets/video_lists.py',
    '../_base_/schedules/small_8e.py',
    'mmaction::_base_/default_runtime.py', '../_base_/dsts.py'
]

model = dict(
    backbone=dict(
        depth=18,
        pretrained=None,
        pretrained2d=False,
        # halves the cost and leaves the resolution of the last map
        strides=(2, 2, 2, 1)),
    cls_head=dict(num_classes=14, in_channels=512, dropout_ratio=0.2))

# No flip: left and right, clockwise and counter-clockwise are classes.
train_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
    dict(type='DecordDecode'),
    dict(type='RandomResizedCrop', area_range=(0.7, 1.0)),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
test_pipeline = [
    dict(type='DecordInit'),
    dict(
        type='SampleFrames',
        clip_len=1,
        frame_interval=1,
        num_clips=8,
        test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
data_root = 'data/shrec17'
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))

optim_wrapper = dict(
    constructor='TSMOptimWrapperConstructor',
    paramwise_cfg=dict(fc_lr5=True),
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=20, norm_type=2))
