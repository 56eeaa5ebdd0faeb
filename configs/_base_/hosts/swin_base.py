# Video Swin-B from Kinetics-400: as Swin-T, with the options and the weight
# decay of MMAction2's Kinetics-400 recipe for Swin-B.
_base_ = 'swin_tiny.py'

model = dict(
    backbone=dict(arch='base', drop_path_rate=0.3),
    cls_head=dict(head=dict(in_channels=1024)))

optim_wrapper = dict(optimizer=dict(weight_decay=0.05))

load_from = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/'
    'swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/'
    'swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_'
    '20220930-182ec6cc.pth')
