# Diving48 with labels V2, as tools/data/diving48/prepare.py lists it.
# Variables for a config to merge. There is no validation split: test.txt is
# for both, so the best checkpoint is one chosen on the test list. Report the
# last one, or hold out part of train.txt.
num_classes = 48
videos = dict(data_root='data/diving48', data_prefix=dict(video=''))
train_set = dict(ann_file='train.txt', **videos)
val_set = dict(ann_file='test.txt', **videos)
test_set = val_set
evaluator = dict(type='FineGrainedMetric')
# Classes have from 2 to 163 test clips.
best = 'acc/mean1'
