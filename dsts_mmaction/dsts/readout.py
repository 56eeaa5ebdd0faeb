"""What the DSTS module adds to the features: one vector for each sample. Ours.

The neurons of the last layer share a map, and each has a private one, which
tells apart what resembles each other enough to choose that neuron::

    readout(z) = gain * (W + sum_n y_n W_n) time_course(z)
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .time_course import TimeCourse

# How fast the readout learns (ours).
GAIN = 8.0


class Readout(nn.Module):
    """A map of the features' time course, zero at the start.

    The gain sets how fast the module leaves the identity
    (docs/what_we_tried.md). It falls with sqrt(M), as a step of the optimizer
    moves the output further the more channels there are.

    Args:
        mid_channels: Channels M of the layers.
        out_channels: Channels C of the features.
        cosines: Coefficients K of the time course.
        num_neurons: Neurons N of the last layer.
    """

    def __init__(self, mid_channels: int, out_channels: int, cosines: int,
                 num_neurons: int) -> None:
        super().__init__()
        self.gain = GAIN / math.sqrt(mid_channels)
        self.time_course = TimeCourse(mid_channels, cosines)
        self.linear = nn.Linear(mid_channels * cosines, out_channels,
                                bias=False)
        self.own_weights = nn.Parameter(torch.empty(
            num_neurons, out_channels, mid_channels * cosines))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Nothing is added."""
        for weights in self.parameters():
            nn.init.zeros_(weights)

    def forward(self, z: Tensor, routing: Tensor) -> Tensor:
        """Features (B, M, T, H, W) to what is added, (B, C).

        Args:
            z: What the layers give.
            routing: The last layer's straight-through routing, shape (B, N).

        Returns:
            float32 or wider, also under autocast.
        """
        with torch.autocast(z.device.type, enabled=False):
            return self.gain * self.project(self.time_course(z), routing)

    def project(self, coefficients: Tensor, routing: Tensor) -> Tensor:
        """Coefficients (B, M * K) to (B, C), by each sample's map."""
        dtype = coefficients.dtype
        # The maps of all neurons: small beside a layer's convolution.
        each = F.linear(coefficients, self.own_weights.to(dtype).flatten(0, 1))
        each = each.unflatten(1, self.own_weights.shape[:2])
        return (F.linear(coefficients, self.linear.weight.to(dtype))
                + (routing.to(dtype).unsqueeze(2) * each).sum(1))
