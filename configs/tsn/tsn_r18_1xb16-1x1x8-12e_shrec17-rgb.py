# The benchmark's TSN.
_base_ = [
    '../tsm/tsm_r18_1xb16-1x1x8-12e_shrec17-rgb.py',
    '../_base_/models/tsn_r18.py'
]

model = dict(
    backbone=dict(_base_.tsn_backbone, _delete_=True),
    cls_head=dict(_base_.tsn_head, _delete_=True, num_classes=14))
