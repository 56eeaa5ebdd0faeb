_base_ = [
    'dsts-slowfast_k400-pre-r50_8xb8-u32-30e_diving48-rgb.py',
    '../_base_/upstream_downstream.py'
]
