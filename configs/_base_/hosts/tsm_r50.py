# TSM-R50 from Kinetics-400. Pipelines and batch are those of MMAction2's
# Something-Something V2 recipe; the schedule and the rates are ours: a fifth
# of that recipe's rate for the backbone, all of it for classifier and DSTS.
_base_ = [
    'mmaction::recognition/tsm/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py',
    '../schedules/fine_tuning_30e.py', '../dsts.py'
]

model = dict(
    # load_from brings all weights.
    backbone=dict(pretrained=None, pretrained2d=False),
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        dsts=_base_.dsts))

# The recipe's Flip swaps labels that only Something-Something has.
train_pipeline = [
    dict(type='Flip', flip_ratio=0.5) if step['type'] == 'Flip' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = _base_.fine_tuning.train_cfg
param_scheduler = _base_.fine_tuning.param_scheduler
default_hooks = _base_.fine_tuning.default_hooks

optim_wrapper = dict(
    constructor='DSTSOptimWrapperConstructor',
    paramwise_cfg=dict(
        constructor=_base_.optim_wrapper.constructor,
        # As the classifier, which TSM's constructor gives five times lr.
        dsts=dict(lr_mult=5)),
    optimizer=dict(lr=0.004))

load_from = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/tsm/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_'
    '20220831-64d69186.pth')

# 8 GPUs x 16 clips
auto_scale_lr = dict(enable=False, base_batch_size=128)
