"""Specialized neurons: kernels whose channels learn to be spatial or temporal.

The paper (arXiv 2209.01425) states that each neuron learns an architecture
that captures more spatial or more temporal detail; the form, one gate per
neuron and channel between a 1x3x3 and a 3x1x1 kernel, is ours::

    neuron_n(z)[c] = g_s[n, c] * (K_s[n, c] * z) + g_t[n, c] * (K_t[n, c] * z)
    K[n] = shared + private[n]
"""
import math

import torch
from torch import Tensor, nn

from .convolutions import spatial, temporal
from .kernel_mixing import mix_kernels
from .straight_through import straight_through_one_hot

# Initial size of a neuron's private kernels beside the shared ones (ours).
PRIVATE_STD = 0.3
# Of the gate logits (ours).
GATE_STD = 0.3


class SpecializedNeurons(nn.Module):
    """N neurons of one layer, one of which runs for each sample.

    Args:
        channels: Channels M, in and out.
        num_neurons: Number N of neurons.
        temperature: Temperature of the gates' softmax.
    """

    def __init__(self, channels: int, num_neurons: int,
                 temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.spatial_kernels = nn.Parameter(
            torch.empty(num_neurons, channels, channels, 3, 3))
        self.temporal_kernels = nn.Parameter(
            torch.empty(num_neurons, channels, channels, 3))
        self.shared_spatial_kernel = nn.Parameter(
            torch.empty(channels, channels, 3, 3))
        self.shared_temporal_kernel = nn.Parameter(
            torch.empty(channels, channels, 3))
        self.gate_logits = nn.Parameter(torch.empty(num_neurons, channels, 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Perturbed copies of one neuron, whose gates are drawn."""
        self.reset_kernels()
        self.reset_gates()

    def reset_kernels(self) -> None:
        """He initialisation of what is shared; a part of it for the rest."""
        for private, shared in self.operators():
            std = math.sqrt(2 / private[0, 0].numel())
            nn.init.normal_(shared, std=std)
            nn.init.normal_(private, std=PRIVATE_STD * std)

    def reset_gates(self) -> None:
        """About half of the channels temporal, the same in all neurons.

        A channel that was spatial for some samples and temporal for others
        would tell the next layer little.
        """
        with torch.no_grad():
            self.gate_logits.copy_(
                nn.init.normal_(self.gate_logits[0].clone(), std=GATE_STD))

    def operators(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Private and shared kernels, of the spatial and temporal operator."""
        return ((self.spatial_kernels, self.shared_spatial_kernel),
                (self.temporal_kernels, self.shared_temporal_kernel))

    def gates(self, noise: Tensor | None = None) -> Tensor:
        """Straight-through choice of each channel's operator, (N, M, 2)."""
        gates, _ = straight_through_one_hot(self.gate_logits, noise,
                                            self.temperature)
        return gates

    def spatial_channels(self) -> Tensor:
        """Which channels are spatial, shape (N, M), bool."""
        return self.gate_logits.argmax(dim=-1) == 0

    def forward(self, z: Tensor, routing: Tensor, index: Tensor,
                gate_noise: Tensor | None = None) -> Tensor:
        """Mix the kernels of all neurons, then run one set for each sample.

        Args:
            z: Features, shape (B, M, T, H, W).
            routing: Straight-through one-hot routing, shape (B, N).
            index: Selected neurons, shape (B,), int64.
            gate_noise: Gumbel noise, shape (N, M, 2).

        Returns:
            Shape (B, M, T, H, W). The gradient for ``routing`` and the gates
            is exactly that of running all N neurons with both operators.
        """
        spatial_kernels, temporal_kernels = (
            kernels.flatten(0, 1)
            for kernels in self.mixed_kernels(routing, index, gate_noise))
        batch, channels, *size = z.shape
        # As one convolution with a group for each sample. A loop over samples
        # and unfolding with a batched matrix product were slower.
        z = z.reshape(1, batch * channels, *size)
        out = (spatial(z, spatial_kernels, batch)
               + temporal(z, temporal_kernels, batch))
        return out.view(batch, channels, *size)

    def mixed_kernels(self, routing: Tensor, index: Tensor,
                      gate_noise: Tensor | None) -> tuple[Tensor, ...]:
        """Kernels of each sample, (B, M, M, 3, 3) and (B, M, M, 3).

        The rows of the operator that a channel's gate did not choose are
        zero in value, and not in gradient.
        """
        weights = routing[:, :, None, None] * self.gates(gate_noise)
        return tuple(
            mix_kernels(weight, private, shared, index)
            for weight, (private, shared) in zip(weights.unbind(-1),
                                                 self.operators()))

    def extra_repr(self) -> str:
        """Of ``print(model)``."""
        num_neurons, channels = self.spatial_kernels.shape[:2]
        return f'{num_neurons} neurons of {channels} channels'
