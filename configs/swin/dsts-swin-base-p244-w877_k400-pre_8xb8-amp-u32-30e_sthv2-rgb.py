_base_ = ['../_base_/hosts/swin_base.py', '../_base_/datasets/sthv2.py']

model = dict(cls_head=dict(head=dict(num_classes=_base_.num_classes)))

# No flip: classes name left and right.
train_pipeline = [
    step for step in _base_.train_pipeline if step['type'] != 'Flip'
]
train_dataloader = dict(
    dataset=dict(pipeline=train_pipeline, **_base_.train_set))
val_dataloader = dict(dataset=_base_.val_set)
test_dataloader = dict(dataset=_base_.test_set)
val_evaluator = _base_.evaluator
test_evaluator = _base_.evaluator
default_hooks = dict(checkpoint=dict(save_best=_base_.best))
