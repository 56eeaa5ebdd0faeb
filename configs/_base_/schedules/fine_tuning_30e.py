# Fine-tuning of every host in hosts/: three epochs of warm-up, then cosine.
# One variable, because the configs of MMAction2 that hosts inherit from have
# schedules of their own, and two bases must not set the same key.
fine_tuning = dict(
    train_cfg=dict(
        type='EpochBasedTrainLoop', max_epochs=30, val_begin=1,
        val_interval=1),
    # Relative to a group's own learning rate: backbones have lower ones.
    param_scheduler=[
        dict(
            type='LinearLR',
            start_factor=0.1,
            by_epoch=True,
            begin=0,
            end=3,
            convert_to_iter_based=True),
        dict(
            type='CosineAnnealingLR',
            T_max=27,
            eta_min_ratio=0.01,
            by_epoch=True,
            begin=3,
            end=30,
            convert_to_iter_based=True)
    ],
    default_hooks=dict(checkpoint=dict(interval=1, max_keep_ckpts=2)))
