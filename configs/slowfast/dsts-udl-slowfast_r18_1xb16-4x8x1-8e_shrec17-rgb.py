_base_ = [
    'dsts-slowfast_r18_1xb16-4x8x1-8e_shrec17-rgb.py',
    '../_base_/upstream_downstream.py'
]
