# FineGym's Gym99, as tools/data/finegym/prepare.py lists it. Variables for a
# config to merge. Its validation list is what is reported: it is for both.
num_classes = 99
videos = dict(data_root='data/finegym', data_prefix=dict(video=''))
train_set = dict(ann_file='gym99_train.txt', **videos)
val_set = dict(ann_file='gym99_val.txt', **videos)
test_set = val_set
evaluator = dict(type='FineGrainedMetric')
# Classes have from 20 to 471 validation clips.
best = 'acc/mean1'
