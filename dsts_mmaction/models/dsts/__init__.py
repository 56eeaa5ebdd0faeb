"""The method, in plain torch: no file here imports a host package."""
from .deployed import DeployedDSTSModule, fuse
from .layer import DSTSLayer, LayerNoise
from .module import DSTSModule, DSTSOutput
from .neurons import SpecializedNeurons
from .synapse import Synapse

__all__ = [
    'DSTSLayer', 'DSTSModule', 'DSTSOutput', 'DeployedDSTSModule',
    'LayerNoise', 'SpecializedNeurons', 'Synapse', 'fuse'
]
