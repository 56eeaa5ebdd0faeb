_base_ = [
    'dsts-slowonly_k400-pre-r50_8xb16-u8-30e_gym99-rgb.py',
    '../_base_/upstream_downstream.py'
]
