# X3D-M from Kinetics-400. MMAction2 has the test config only; what it does
# not say of training (pipelines, optimizer, schedule, rates) is ours.
_base_ = [
    'mmaction::recognition/x3d/x3d_m_16x5x1_facebook-kinetics400-rgb.py',
    '../schedules/fine_tuning_30e.py', '../dsts.py'
]

model = dict(
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        dsts=_base_.dsts))

# Spread over the whole video: the parent's window would loop in a short one
# and cut a long one.
train_pipeline = [
    dict(type='DecordInit'),
    dict(type='UniformSample', clip_len=16),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')
]
val_pipeline = [
    dict(type='DecordInit'),
    dict(type='UniformSample', clip_len=16, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')
]
test_pipeline = [
    val_pipeline[1] if step['type'] == 'SampleFrames' else step
    for step in _base_.test_pipeline
]
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='VideoDataset', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoDataset', pipeline=val_pipeline, test_mode=True))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

train_cfg = _base_.fine_tuning.train_cfg
val_cfg = dict(type='ValLoop')
param_scheduler = _base_.fine_tuning.param_scheduler
default_hooks = _base_.fine_tuning.default_hooks

optim_wrapper = dict(
    constructor='DSTSOptimWrapperConstructor',
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-5),
    clip_grad=dict(max_norm=40, norm_type=2))

load_from = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/x3d/facebook/'
    'x3d_m_16x5x1_facebook-kinetics400-rgb_20201027-3f42382a.pth')

# 8 GPUs x 16 clips
auto_scale_lr = dict(enable=False, base_batch_size=128)
