_base_ = ['../_base_/hosts/mvit_small.py', '../_base_/datasets/diving48.py']

model = dict(cls_head=dict(head=dict(num_classes=_base_.num_classes)))

train_dataloader = dict(dataset=_base_.train_set)
val_dataloader = dict(dataset=_base_.val_set)
test_dataloader = dict(dataset=_base_.test_set)
val_evaluator = _base_.evaluator
test_evaluator = _base_.evaluator
default_hooks = dict(checkpoint=dict(save_best=_base_.best))
