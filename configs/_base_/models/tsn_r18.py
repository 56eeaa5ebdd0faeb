# A small TSN for a config to put in place of its base's TSM: without the
# shift, the backbone sees one frame at a time. It adds the number of classes.
tsn_backbone = dict(
    type='ResNet', depth=18, norm_eval=False, strides=(2, 2, 2, 1))
tsn_head = dict(
    type='TSNHead',
    in_channels=512,
    spatial_type='avg',
    consensus=dict(type='AvgConsensus', dim=1),
    dropout_ratio=0.2,
    init_std=0.01,
    average_clips='prob')
