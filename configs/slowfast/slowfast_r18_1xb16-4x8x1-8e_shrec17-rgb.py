# SlowFast-ResNet-18 from scratch on 64x64 clips of 32 frames: the fast
# pathway sees all of them, the slow one every 8th.
_base_ = [
    'mmaction::_base_/models/slowfast_r50.py',
    '../_base_/datasets/video_lists.py', '../_base_/schedules/small_8e.py',
    'mmaction::_base_/default_runtime.py', '../_base_/dsts.py'
]

model = dict(
    backbone=dict(
        slow_pathway=dict(depth=18), fast_pathway=dict(depth=18)),
    cls_head=dict(
        num_classes=14,
        in_channels=576,  # 512+64
        dropout_ratio=0.2))

# No flip: left and right, clockwise and counter-clockwise are classes.
train_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=32, frame_interval=1, num_clips=1),
    dict(type='DecordDecode'),
    dict(type='RandomResizedCrop', area_range=(0.7, 1.0)),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')
]
test_pipeline = [
    dict(type='DecordInit'),
    dict(
        type='SampleFrames',
        clip_len=32,
        frame_interval=1,
        num_clips=1,
        test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
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
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4),
    clip_grad=dict(max_norm=20, norm_type=2))
