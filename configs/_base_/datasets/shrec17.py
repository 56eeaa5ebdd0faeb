# SHREC'17 depth clips of 14 hand gestures, resampled to 32 frames of 64x64
# pixels, with subject-disjoint lists. Under data_root: train.txt, val.txt and
# test.txt with lines 'videos/NAME.mp4 LABEL', and the videos.
dataset_type = 'VideoDataset'
data_root = 'data/shrec17'

dataset = dict(
    type=dataset_type, data_root=data_root, data_prefix=dict(video=''))
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(ann_file='train.txt', pipeline=None, **dataset))
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='val.txt', pipeline=None, test_mode=True, **dataset))
test_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='test.txt', pipeline=None, test_mode=True, **dataset))

val_evaluator = dict(
    type='AccMetric', metric_list=('top_k_accuracy', 'mean_class_accuracy'))
test_evaluator = val_evaluator
