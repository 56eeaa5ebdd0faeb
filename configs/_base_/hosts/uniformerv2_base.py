# UniFormerV2-B from CLIP, Kinetics-710 and Kinetics-400. Pipelines and
# optimizer are those of MMAction2's recipe for Moments in Time, which starts
# from the same; batch, schedule and rates are ours: its rate for the backbone,
# though for a quarter of the clips, ten times that for the rest, which is new.
_base_ = [
    'mmaction::recognition/uniformerv2/'
    'uniformerv2-base-p16-res224_clip-kinetics710-kinetics-k400-pre_'
    '16xb32-u8_mitv1-rgb.py', '../schedules/fine_tuning_30e.py', '../dsts.py'
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
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        layer='transformer.resblocks.11',
        channels=768,
        tokens=dict(grid=(8, 14, 14), class_tokens=1, sequence_first=True),
        dsts=_base_.dsts))

# Without RandAugment, which needs pytorchvideo.
train_pipeline = [
    step for step in _base_.train_pipeline
    if step['type'] != 'PytorchVideoWrapper'
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))

train_cfg = _base_.fine_tuning.train_cfg
param_scheduler = _base_.fine_tuning.param_scheduler
default_hooks = _base_.fine_tuning.default_hooks

optim_wrapper = dict(
    constructor='DSTSOptimWrapperConstructor',
    # The default constructor forgets that norms and biases do not decay
    # where a rate of their own is set; Swin's, which goes by names,
    # multiplies both.
    paramwise_cfg=dict(
        _delete_=True,
        constructor='SwinOptimWrapperConstructor',
        backbone=dict(lr_mult=0.1),
        ln_=dict(decay_mult=0.),
        norm=dict(decay_mult=0.),
        bias=dict(decay_mult=0.)),
    optimizer=dict(lr=2e-4))

load_from = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/uniformerv2/'
    'uniformerv2-base-p16-res224_clip-kinetics710-pre_8xb32-u8_'
    'kinetics400-rgb/uniformerv2-base-p16-res224_clip-kinetics710-pre_8xb32-'
    'u8_kinetics400-rgb_20230313-75be0806.pth')

# 8 GPUs x 16 clips
auto_scale_lr = dict(enable=False, base_batch_size=128)
