# MViTv2-S from Kinetics-400. Pipelines are those of MMAction2's recipe for
# Something-Something V2, which starts from the same weights; layer decay and
# clipping those of its MaskFeat fine-tuning; schedule and rate are ours, half
# of the latter's for as many clips.
_base_ = [
    'mmaction::recognition/mvit/'
    'mvit-small-p244_k400-pre_16xb16-u16-100e_sthv2-rgb.py',
    '../schedules/fine_tuning_30e.py', '../dsts.py'
]

model = dict(
    # load_from brings all weights.
    backbone=dict(
        _delete_=True,
        **{
            option: value
            for option, value in _base_.model.backbone.items()
            if option != 'init_cfg'
        }),
    # What these weights were trained with.
    data_preprocessor=dict(
        mean=[114.75, 114.75, 114.75], std=[57.375, 57.375, 57.375]),
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        layer='blocks.14',
        channels=768,
        tokens=dict(class_tokens=1),
        dsts=_base_.dsts))

# Without RandAugment, which needs pytorchvideo.
train_pipeline = [
    step for step in _base_.train_pipeline
    if step['type'] != 'PytorchVideoWrapper'
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = _base_.fine_tuning.train_cfg
param_scheduler = _base_.fine_tuning.param_scheduler
default_hooks = _base_.fine_tuning.default_hooks

optim_wrapper = dict(
    constructor='DSTSOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        constructor='LearningRateDecayOptimizerConstructor',
        decay_rate=0.75,
        decay_type='layer_wise',
        num_layers=16),
    optimizer=dict(lr=6e-4),
    clip_grad=dict(max_norm=5, norm_type=2))

load_from = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/mvit/converted/'
    'mvit-small-p244_16x4x1_kinetics400-rgb_20221021-9ebaaeed.pth')

# 8 GPUs x 8 clips
auto_scale_lr = dict(enable=False, base_batch_size=64)
