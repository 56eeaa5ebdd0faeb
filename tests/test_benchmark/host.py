"""A tiny host with clips to train it on."""
import cv2
import numpy as np

from tests.builders import NUM_CLASSES, tsm

PIPELINE = '''[
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8,
         test_mode={test}),
    dict(type='DecordDecode'),
    dict(type='{crop}'{area}),
    dict(type='Resize', scale=(16, 16), keep_ratio=False),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]'''
CONFIG = '''
default_scope = 'mmaction'
model = {model}
train_pipeline = {train}
test_pipeline = {test}
dataset = dict(type='VideoDataset', data_root='elsewhere',
               data_prefix=dict(video='clips'))
loader = dict(batch_size=2, num_workers={workers})
train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True), drop_last=True,
    dataset=dict(ann_file='train.txt', pipeline=train_pipeline, **dataset),
    **loader)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='val.txt', pipeline=test_pipeline, test_mode=True,
                 **dataset), **loader)
test_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(ann_file='test.txt', pipeline=test_pipeline, test_mode=True,
                 **dataset), **loader)
val_evaluator = test_evaluator = dict(type='AccMetric')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1,
         convert_to_iter_based=True),
    dict(type='MultiStepLR', milestones=[2, 3], by_epoch=True)
]
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
dsts = dict(num_neurons=3, num_layers=2, mid_channels=8)
'''


def write_host(path, workers=0):
    """A config of TSM with five classes, without ``custom_imports``."""
    path.write_text(CONFIG.format(
        model=tsm(), workers=workers,
        train=PIPELINE.format(test=False, crop='RandomResizedCrop',
                              area=', area_range=(0.5, 1.0)'),
        test=PIPELINE.format(test=True, crop='Resize',
                             area=', scale=(16, 16)')))
    return str(path)


COUNTS = dict(train=8, val=5, test=6)


def write_clips(root, counts=COUNTS):
    """Clips of noise of four subjects, and their lists."""
    (root / 'videos').mkdir(parents=True)
    random = np.random.default_rng()
    for split, count in counts.items():
        lines = []
        for i in range(count):
            name = f'videos/{split}{i}_s{i % 4}_.avi'
            writer = cv2.VideoWriter(str(root / name),
                                     cv2.VideoWriter_fourcc(*'MJPG'), 8,
                                     (32, 32))
            for _ in range(8):
                writer.write(random.integers(256, size=(32, 32, 3),
                                             dtype=np.uint8))
            writer.release()
            lines.append(f'{name} {i % NUM_CLASSES}\n')
        (root / f'{split}.txt').write_text(''.join(lines))
    return str(root)
