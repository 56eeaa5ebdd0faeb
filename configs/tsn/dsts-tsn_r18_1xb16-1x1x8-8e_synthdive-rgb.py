_base_ = 'tsn_r18_1xb16-1x1x8-8e_synthdive-rgb.py'

model = dict(
    cls_head=dict(
        _delete_=True,
        type='DSTSHead',
        head=_base_.model.cls_head,
        num_segments=8,
        dsts=_base_.dsts))

optim_wrapper = dict(constructor='DSTSOptimWrapperConstructor')
