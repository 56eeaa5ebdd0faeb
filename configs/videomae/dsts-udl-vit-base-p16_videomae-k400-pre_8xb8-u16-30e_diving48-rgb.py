_base_ = [
    'dsts-vit-base-p16_videomae-k400-pre_8xb8-u16-30e_diving48-rgb.py',
    '../_base_/upstream_downstream.py'
]
