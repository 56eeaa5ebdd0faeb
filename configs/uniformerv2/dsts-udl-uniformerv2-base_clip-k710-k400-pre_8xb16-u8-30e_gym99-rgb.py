_base_ = [
    'dsts-uniformerv2-base_clip-k710-k400-pre_8xb16-u8-30e_gym99-rgb.py',
    '../_base_/upstream_downstream.py'
]
