# TSM from scratch on SynthDive (tools/make_synthdive.py), small enough for a
# laptop without a GPU.
_base_ = [
    'mmaction::_base_/models/tsm_r50.py', '../_base_/datasets/video_lists.py',
    '../_base_/schedules/small_8e.py', 'mmaction::_base_/default_runtime.py',
    '../_base_/dsts.py'
]

model = dict(
    backbone=dict(
        depth=18,
        pretrained=None,
        pretrained2d=False,
        # Frames are 64x64: halving the resolution in the first stage instead
        # of the last halves the time and leaves a 2x2 map.
        strides=(2, 2, 2, 1)),
    cls_head=dict(
        num_classes=12, in_channels=512, dropout_ratio=0.2, init_std=0.01))

# No flip: a mirrored forward dive turns like a backward one.
train_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8),
    dict(type='DecordDecode'),
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
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
data_root = 'data/synthdive'
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))

test_evaluator = dict(_delete_=True, type='FineGrainedMetric')

train_cfg = dict(val_interval=2)

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=20, norm_type=2))

default_hooks = dict(
    logger=dict(interval=5),
    checkpoint=dict(interval=1, max_keep_ckpts=2, save_best=None))
log_processor = dict(window_size=5)
