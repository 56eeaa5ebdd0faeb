_base_ = [
    'dsts-slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py',
    '../_base_/upstream_downstream.py'
]
