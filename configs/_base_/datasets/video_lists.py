# A folder of videos with the lists train.txt, val.txt and test.txt, lines
# 'videos/NAME.mp4 LABEL'. A config adds data_root and pipelines.
dataset = dict(type='VideoDataset', data_prefix=dict(video=''))
loader = dict(batch_size=16, num_workers=2, persistent_workers=True)

train_dataloader = dict(
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(ann_file='train.txt', **dataset),
    **loader)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='val.txt', test_mode=True, **dataset),
    **loader)
test_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='test.txt', test_mode=True, **dataset),
    **loader)

val_evaluator = dict(
    type='AccMetric', metric_list=('top_k_accuracy', 'mean_class_accuracy'))
test_evaluator = val_evaluator
