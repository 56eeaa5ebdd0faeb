# TSN from scratch on SynthDive: as its TSM, without the shift, so that the
# backbone sees one frame at a time.
_base_ = '../tsm/tsm_r18_1xb16-1x1x8-8e_synthdive-rgb.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        norm_eval=False,
        strides=(2, 2, 2, 1)),
    cls_head=dict(
        _delete_=True,
        type='TSNHead',
        num_classes=12,
        in_channels=512,
        spatial_type='avg',
        consensus=dict(type='AvgConsensus', dim=1),
        dropout_ratio=0.2,
        init_std=0.01,
        average_clips='prob'))
