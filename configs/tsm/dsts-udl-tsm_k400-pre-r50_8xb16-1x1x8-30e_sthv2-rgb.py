_base_ = [
    'dsts-tsm_k400-pre-r50_8xb16-1x1x8-30e_sthv2-rgb.py',
    '../_base_/upstream_downstream.py'
]
