"""What the DSTS module adds to the features: one vector for each sample.

Source: ours.
"""
import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .time_course import TimeCourse, wide_dtype

# How fast the readout learns (ours).
GAIN = 8.0


class Readout(nn.Module):
    """A map of the features' time course, zero at the start.

    ``(shared + sum_n y_n own_n)(time course) * gain``: the neurons of the
    last layer share a map, and each has one of its own, which tells apart what
    resembles each other enough to choose that neuron. The gain sets how fast
    the module leaves the identity (docs/what_we_tried.md). It falls with
    sqrt(M), as a step of the optimizer moves the output further the more
    channels there are.

    Args:
        mid_channels: Channels M of the layers.
        out_channels: Channels C of the features.
        cosines: Coefficients K of the time course.
        num_neurons: Neurons N that have a map of their own; 1 for none, as a
            single one's would be the shared one.
    """

    def __init__(self, mid_channels: int, out_channels: int, cosines: int,
                 num_neurons: int = 1) -> None:
        super().__init__()
        self.time_course = TimeCourse(mid_channels, cosines)
        self.linear = nn.Linear(mid_channels * cosines, out_channels,
                                bias=False)
        self.register_parameter('own_weights', nn.Parameter(torch.empty(
            num_neurons, out_channels, mid_channels * cosines))
            if num_neurons > 1 else None)
        self.gain = GAIN / math.sqrt(mid_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Nothing is added."""
        nn.init.zeros_(self.linear.weight)
        if self.own_weights is not None:
            nn.init.zeros_(self.own_weights)

    def forward(self, z: Tensor, index: Tensor,
                routing: Optional[Tensor] = None) -> Tensor:
        """Features (B, M, T, H, W) to what is added, (B, C).

        Args:
            z: What the layers give.
            index: Neurons that the last layer selected, shape (B,), int64.
            routing: The same as straight-through one-hot, shape (B, N), for
                its gradient; in training.

        Returns:
            float32 or wider, also under autocast.
        """
        weight, own = self.linear.weight, self.own_weights
        dtype = wide_dtype(weight.dtype)
        with torch.autocast(z.device.type, enabled=False):
            coefficients = self.time_course(z)
            out = F.linear(coefficients, weight.to(dtype))
            if own is not None and routing is None:
                out = out + of_selected(coefficients, own, index)
            elif own is not None:
                # All maps, for the gradient of every score: they are small
                # beside a layer's convolution.
                each = F.linear(coefficients, own.to(dtype).flatten(0, 1))
                each = each.unflatten(1, (len(own), -1))
                out = out + (routing.to(dtype).unsqueeze(2) * each).sum(1)
            return out * self.gain


def of_selected(x: Tensor, weights: Tensor, index: Tensor) -> Tensor:
    """``weights[index[b]] @ x[b]`` for each sample b.

    Args:
        x: Shape (B, D).
        weights: Shape (N, C, D), of any dtype.
        index: Shape (B,), int64.

    Returns:
        Shape (B, C), dtype of ``x``.
    """
    return torch.bmm(weights[index].to(x.dtype), x.unsqueeze(2)).squeeze(2)
