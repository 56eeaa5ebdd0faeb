# The benchmark's: AdamW, clips at about the 50x50 pixels that they were
# recorded with, every second frame, and half the width of the slow pathway, so
# that it trains on a CPU.
_base_ = 'slowfast_r18_1xb16-4x8x1-8e_shrec17-rgb.py'

model = dict(
    backbone=dict(
        resample_rate=4,
        speed_ratio=4,
        channel_ratio=4,
        slow_pathway=dict(base_channels=32)),
    cls_head=dict(in_channels=320))  # 256+64

train_pipeline, test_pipeline = ([
    dict(step, **dict(
        SampleFrames=dict(clip_len=16, frame_interval=2),
        Resize=dict(scale=(48, 48))).get(step['type'], {}))
    for step in pipeline
] for pipeline in (_base_.train_pipeline, _base_.test_pipeline))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

train_cfg = dict(max_epochs=12)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=11, end=12)
]
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=20, norm_type=2))
