_base_ = 'slowfast_r18_1xb16-4x8x1-8e_shrec17-rgb.py'

model = dict(
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        channels=(512, 64),  # slow, fast
        dsts=_base_.dsts))

optim_wrapper = dict(constructor='DSTSOptimWrapperConstructor')
