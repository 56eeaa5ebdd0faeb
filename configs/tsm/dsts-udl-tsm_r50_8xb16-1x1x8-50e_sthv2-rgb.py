_base_ = [
    'dsts-tsm_r50_8xb16-1x1x8-50e_sthv2-rgb.py',
    '../_base_/upstream_downstream.py'
]
