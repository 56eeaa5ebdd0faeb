# From scratch on a small data set: one epoch of warm-up, then cosine. A
# config adds the optimizer.
train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=8, val_begin=1, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        by_epoch=True,
        begin=0,
        end=1,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=7,
        eta_min=0,
        by_epoch=True,
        begin=1,
        end=8,
        convert_to_iter_based=True)
]

# base_batch_size = (1 GPU) x (16 samples per GPU)
auto_scale_lr = dict(enable=False, base_batch_size=16)
