_base_ = [
    'mmaction::recognition/slowfast/'
    'slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py', '../_base_/dsts.py'
]

model = dict(
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        channels=(2048, 256),  # slow, fast
        dsts=_base_.dsts))

optim_wrapper = dict(constructor='DSTSOptimWrapperConstructor')
