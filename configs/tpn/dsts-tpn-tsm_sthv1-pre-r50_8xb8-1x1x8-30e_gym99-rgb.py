_base_ = ['../_base_/hosts/tpn_tsm_r50.py', '../_base_/datasets/gym99.py']

model = dict(
    neck=dict(aux_head_cfg=dict(out_channels=_base_.num_classes)),
    cls_head=dict(head=dict(num_classes=_base_.num_classes)))

train_dataloader = dict(dataset=_base_.train_set)
val_dataloader = dict(dataset=_base_.val_set)
test_dataloader = dict(dataset=_base_.test_set)
val_evaluator = _base_.evaluator
test_evaluator = _base_.evaluator
default_hooks = dict(checkpoint=dict(save_best=_base_.best))
