"""One layer of the DSTS module: a synapse chooses, one neuron runs.

The shortcut and the norm around the neuron are ours.
"""
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from .neurons import SpecializedNeurons
from .straight_through import straight_through_one_hot
from .synapse import Synapse


class LayerNoise(NamedTuple):
    """Gumbel noise of one layer for one training forward; None for none.

    Attributes:
        synapse: Shape (B, N).
        gates: Shape (N, M, 2).
    """
    synapse: Tensor | None = None
    gates: Tensor | None = None


NO_NOISE = LayerNoise()


class LayerOutput(NamedTuple):
    """What one layer returns.

    Attributes:
        features: Shape (B, M, T, H, W).
        scores: Noise-free router scores, shape (B, N).
        selected: Selected neurons, shape (B,), int64.
        routing: The same as one-hot, shape (B, N), straight-through in
            training.
    """
    features: Tensor
    scores: Tensor
    selected: Tensor
    routing: Tensor


class DSTSLayer(nn.Module):
    """``z + ReLU(BN(neuron(z)))`` with the neuron chosen per sample.

    Args:
        synapse: Scores the neurons.
        neurons: The N neurons.
        temperature: Temperature of the choice's softmax.
    """

    def __init__(self, synapse: Synapse, neurons: SpecializedNeurons,
                 temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.synapse = synapse
        self.neurons = neurons
        self.norm = nn.BatchNorm3d(neurons.spatial_kernels.shape[1])

    def forward(self, z: Tensor, noise: LayerNoise = NO_NOISE) -> LayerOutput:
        """Run the layer on features (B, M, T, H, W).

        Args:
            z: Features.
            noise: Added to router scores and gate logits.
        """
        scores = self.synapse(z)
        routing, index = straight_through_one_hot(scores, noise.synapse,
                                                  self.temperature)
        if not self.training:
            routing = routing.detach()
        out = self.neurons(z, routing, index, noise.gates)
        z = z + F.relu(self.norm(out), inplace=True)
        return LayerOutput(z, scores, index, routing)
