# SlowFast-R50 from Kinetics-400. Augmentation, optimizer and batch are those
# of MMAction2's Kinetics-400 recipe; sampling, schedule and rates are ours:
# half its rate, and a tenth of that for the backbone.
_base_ = [
    'mmaction::recognition/slowfast/'
    'slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb.py',
    '../schedules/fine_tuning_30e.py', '../dsts.py'
]

model = dict(
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        channels=(2048, 256),  # slow, fast
        dsts=_base_.dsts))

# Spread over the whole video: the parent's window would loop in a short one
# and cut a long one.
sampling = dict(type='UniformSample', clip_len=32)
train_pipeline = [
    sampling if step['type'] == 'SampleFrames' else step
    for step in _base_.train_pipeline
]
val_pipeline, test_pipeline = ([
    dict(sampling, test_mode=True) if step['type'] == 'SampleFrames' else step
    for step in pipeline
] for pipeline in (_base_.val_pipeline, _base_.test_pipeline))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

train_cfg = _base_.fine_tuning.train_cfg
param_scheduler = _base_.fine_tuning.param_scheduler
default_hooks = _base_.fine_tuning.default_hooks

optim_wrapper = dict(
    constructor='DSTSOptimWrapperConstructor',
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
    optimizer=dict(lr=0.05))

load_from = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/slowfast/'
    'slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb/'
    'slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb_20220818-1cb6dfc8.pth')

# 8 GPUs x 8 clips
auto_scale_lr = dict(enable=False, base_batch_size=64)
