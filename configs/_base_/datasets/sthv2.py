# Something-Something V2, as tools/data/sthv2/prepare.py lists it. Variables
# for a config to merge. Its test split has no labels: val.txt is for both.
#
# Train on it without Flip, and test without flipped crops: six classes name
# left or right.
num_classes = 174
videos = dict(data_root='data/sthv2', data_prefix=dict(video=''))
train_set = dict(ann_file='train.txt', **videos)
val_set = dict(ann_file='val.txt', **videos)
test_set = val_set
evaluator = dict(type='FineGrainedMetric')
best = 'acc/top1'
