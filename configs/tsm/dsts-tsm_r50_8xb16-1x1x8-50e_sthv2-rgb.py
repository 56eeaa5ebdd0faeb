_base_ = [
    'mmaction::recognition/tsm/'
    'tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py',
    '../_base_/dsts.py'
]

model = dict(
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        dsts=_base_.dsts))

optim_wrapper = dict(
    constructor='DSTSOptimWrapperConstructor',
    paramwise_cfg=dict(constructor=_base_.optim_wrapper.constructor))
