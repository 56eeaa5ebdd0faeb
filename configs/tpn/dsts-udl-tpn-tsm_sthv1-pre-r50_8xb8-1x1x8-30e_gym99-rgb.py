_base_ = [
    'dsts-tpn-tsm_sthv1-pre-r50_8xb8-1x1x8-30e_gym99-rgb.py',
    '../_base_/upstream_downstream.py'
]
