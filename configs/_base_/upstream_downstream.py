# Overlay that trains synapses and gates on held-out samples. A config adds it
# to its bases, next to that of the same recognizer with DSTS.
custom_hooks = [
    dict(
        type='UpstreamDownstreamHook',
        optimizer=dict(type='AdamW', lr=1e-3))
]
