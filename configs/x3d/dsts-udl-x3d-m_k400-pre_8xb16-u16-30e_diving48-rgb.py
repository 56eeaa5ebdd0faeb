_base_ = [
    'dsts-x3d-m_k400-pre_8xb16-u16-30e_diving48-rgb.py',
    '../_base_/upstream_downstream.py'
]
