_base_ = [
    'dsts-mvit-small-p244_k400-pre_8xb8-u16-30e_diving48-rgb.py',
    '../_base_/upstream_downstream.py'
]
