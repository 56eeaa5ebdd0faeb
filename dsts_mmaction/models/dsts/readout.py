"""What the DSTS module adds to the features: one vector for each sample.

Classes that differ in a direction or a count show the same over the clip as a
whole, in another order. Kernels of three frames and an average lose that order
unless the backbone has it already; so the layers' result is read out by the
cosine transform of its time course. Source: ours.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .averages import normalize, wide_dtype


def cosine_coefficients(x: Tensor, count: int) -> Tensor:
    """First coefficients of the cosine transform (DCT-II) over time.

    The first is the average; the second tells early from late, and so on.
    White noise gives all of them the same variance.

    Args:
        x: Shape (..., T), floating point.
        count: Number K of coefficients; from T on they are 0.

    Returns:
        Shape (..., K).
    """
    length = x.shape[-1]
    like = dict(device=x.device, dtype=x.dtype)
    frames = torch.arange(length, **like) + 0.5
    order = torch.arange(count, **like)
    cosines = torch.cos(math.pi / length * frames[:, None] * order)
    # 1 for the average, the root of 2 for others, 0 for those beyond T.
    scale = torch.sqrt(1 + (order > 0).to(x.dtype)) * (order < length)
    return x @ (cosines * scale / length)


class Readout(nn.Module):
    """Averages over space, normalises, transforms over time and maps.

    ``linear(coefficients(BN(mean_HW(z)))) / sqrt(M)``, zero at the start.
    What one pixel or frame says is small in an average, and differs little
    from sample to sample: without the norm, training has to grow the map
    first. And without the division, a step of Adam would move the output by
    M times the learning rate and more (docs/what_we_tried.md).

    Args:
        mid_channels: Channels M of the layers.
        out_channels: Channels C of the features.
        cosines: Coefficients K of the cosine transform.
    """

    def __init__(self, mid_channels: int, out_channels: int,
                 cosines: int) -> None:
        super().__init__()
        self.cosines = cosines
        self.norm = nn.BatchNorm1d(mid_channels, affine=False)
        self.linear = nn.Linear(mid_channels * cosines, out_channels,
                                bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Nothing is added."""
        nn.init.zeros_(self.linear.weight)

    def forward(self, z: Tensor) -> Tensor:
        """Features (B, M, T, H, W) to what is added, (B, C).

        It is float32 or wider, also under autocast.
        """
        weight = self.linear.weight
        dtype = wide_dtype(weight.dtype)
        with torch.autocast(z.device.type, enabled=False):
            frames = normalize(z.mean(dim=(3, 4), dtype=dtype), self.norm)
            coefficients = cosine_coefficients(frames, self.cosines)
            return F.linear(coefficients.flatten(1), weight.to(dtype)
                            ) / math.sqrt(z.shape[1])
