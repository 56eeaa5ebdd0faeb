_base_ = [
    'dsts-swin-tiny-p244-w877_k400-pre_8xb8-amp-u32-30e_diving48-rgb.py',
    '../_base_/upstream_downstream.py'
]
