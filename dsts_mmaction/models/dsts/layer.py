"""One layer of the DSTS module: a synapse chooses, one neuron runs."""
from typing import NamedTuple, Optional

import torch.nn.functional as F
from torch import Tensor, nn

from .neurons import SpecializedNeurons
from .straight_through import straight_through_one_hot
from .synapse import Synapse


class LayerNoise(NamedTuple):
    """Gumbel noise of one layer for one training forward.

    Attributes:
        synapse: Shape (B, N).
        gates: Shape (N, M, 2); None without gates.
    """
    synapse: Tensor
    gates: Optional[Tensor]


class LayerOutput(NamedTuple):
    """What one layer returns.

    Attributes:
        features: Shape (B, M, T, H, W).
        scores: Noise-free router scores, shape (B, N).
        index: Selected neurons, shape (B,), int64.
        routing: The same as straight-through one-hot, shape (B, N), in
            training.
    """
    features: Tensor
    scores: Tensor
    index: Tensor
    routing: Optional[Tensor] = None


class DSTSLayer(nn.Module):
    """``z + ReLU(BN(neuron(z)))`` with the neuron chosen per sample.

    The shortcut and the norm are ours.

    Args:
        channels: Channels M, in and out.
        num_neurons: Number N of specialized neurons.
        cosines: Coefficients K that the synapse sees.
        temperature: Temperature of synapse and gates.
        gates: Whether the neurons' channels have gates.
        shared_kernels: Whether neurons share a part of their kernels.
        noise_scale: Scale of the Gumbel noise of synapse and gates.
    """

    def __init__(self, channels: int, num_neurons: int, cosines: int,
                 temperature: float, gates: bool, shared_kernels: bool,
                 noise_scale: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.noise_scale = noise_scale
        self.synapse = Synapse(channels, num_neurons, cosines)
        self.neurons = SpecializedNeurons(channels, num_neurons, temperature,
                                          gates, shared_kernels)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, z: Tensor, noise: Optional[LayerNoise] = None
                ) -> LayerOutput:
        """Run the layer on features (B, M, T, H, W).

        Args:
            z: Features.
            noise: Gumbel noise; required in training, unused in evaluation.
        """
        scores, routing = self.synapse(z), None
        if self.training:
            synapse_noise, gate_noise = (
                part if part is None else self.noise_scale * part
                for part in noise)
            routing, index = straight_through_one_hot(scores, synapse_noise,
                                                      self.temperature)
            out = self.neurons.mix(z, routing, index, gate_noise)
        else:
            index = scores.argmax(dim=1)
            out = self.neurons.dispatch(z, index)
        out = F.relu(self.norm(out), inplace=True)
        return LayerOutput(z + out, scores, index, routing)
