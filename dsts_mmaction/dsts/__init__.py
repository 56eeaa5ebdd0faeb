"""The method, in plain torch: no file here imports a host package.

In reading order:

1. ``module``: the whole in three lines of formulas, its options, its forward;
2. ``layer``: one layer, a synapse that chooses and a neuron that runs;
3. ``synapse``, ``time_course``: what a choice is made from;
4. ``straight_through``: a hard choice with a soft gradient;
5. ``neurons``, ``kernel_mixing``: spatial or temporal channels, at the cost of
   the neuron that was chosen;
6. ``readout``: what is added to the features;
7. ``router_losses``: what keeps one neuron from taking all;
8. ``parameters``, ``hyper_gradient``: what decides, and how it is trained on
   held-out samples (Upstream-Downstream Learning).

``convolutions`` has the operators in their fastest form, ``ablations`` the
method with a part taken out.
"""
from .layer import DSTSLayer, LayerNoise
from .module import DSTSModule, DSTSOutput
from .neurons import SpecializedNeurons
from .synapse import Synapse

__all__ = [
    'DSTSLayer', 'DSTSModule', 'DSTSOutput', 'LayerNoise',
    'SpecializedNeurons', 'Synapse'
]
