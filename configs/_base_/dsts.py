# Overlay of every config here: registers the package and holds the options
# of the DSTS module, which a config puts around its recognizer's head with
#
#   model = dict(cls_head=dict(_delete_=True, type='DSTSHead',
#                              head=_base_.model.cls_head, dsts=_base_.dsts))
custom_imports = dict(imports=['dsts_mmaction'], allow_failed_imports=False)

dsts = dict(num_neurons=10, num_layers=3)
