_base_ = [
    'dsts-tsn_r18_1xb16-1x1x8-8e_synthdive-rgb.py',
    '../_base_/upstream_downstream.py'
]
