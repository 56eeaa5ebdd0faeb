# The benchmark's: AdamW, and clips at about the 50x50 pixels that they were
# recorded with.
_base_ = 'tsm_r18_1xb16-1x1x8-8e_shrec17-rgb.py'

train_pipeline, test_pipeline = (
    [
        dict(each, scale=(48, 48)) if each['type'] == 'Resize' else each
        for each in pipeline
    ] for pipeline in (_base_.train_pipeline, _base_.test_pipeline))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

train_cfg = dict(max_epochs=12)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=11, end=12)
]
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=20, norm_type=2))
