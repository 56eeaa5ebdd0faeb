"""How features change over a clip: what synapses and readout look at.

Classes that differ in a direction or a count show the same over the clip as a
whole, in another order. Kernels of three frames and an average lose that order
unless the backbone has it already. Source: ours.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TimeCourse(nn.Module):
    """``coefficients(BN(mean_HW(z)))``, scaled to the same size for all.

    What one pixel says is small in an average over space, and differs little
    from sample to sample: a map of it would have to grow first. So averages
    are batch-normalised (running statistics in evaluation), then transformed
    over time. The squares of all coefficients of a channel sum up to 1 on
    average. With one sample per process and step, the statistics never move
    from 0 and 1.

    Args:
        channels: Channels M of the features.
        cosines: Coefficients K of the cosine transform.
    """

    def __init__(self, channels: int, cosines: int) -> None:
        super().__init__()
        self.cosines = cosines
        self.norm = nn.BatchNorm1d(channels, affine=False)

    def forward(self, z: Tensor) -> Tensor:
        """Features (B, M, T, H, W) to coefficients (B, M * K).

        They are float32 or wider; call it without autocast.
        """
        frames = z.mean(dim=(3, 4), dtype=wide_dtype(z.dtype))
        return cosine_coefficients(
            normalize(frames, self.norm), self.cosines).flatten(1)


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
    frames = torch.arange(length, device=x.device, dtype=x.dtype) + 0.5
    order = torch.arange(count, device=x.device, dtype=x.dtype)
    cosines = torch.cos(math.pi / length * frames[:, None] * order)
    # 1 for the average, the root of 2 for others, 0 for those beyond T.
    scale = torch.sqrt(1 + (order > 0).to(x.dtype)) * (order < length)
    return x @ (cosines * scale / length)


def normalize(x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Batch norm, by the running statistics if there is one sample only.

    A single sample has no spread of its own: its average would become zero.

    Args:
        x: Shape (B, M, T), float32 or wider.
        norm: Without affine parameters.

    Returns:
        Shape and dtype of ``x``.
    """
    mean, var = (norm.get_buffer(name)
                 for name in ('running_mean', 'running_var'))
    if norm.training and len(x) > 1:
        # Statistics of a module cast to half precision are in it as well.
        return norm(x.to(mean.dtype)).to(x.dtype)
    return F.batch_norm(x, mean.to(x.dtype), var.to(x.dtype), eps=norm.eps)


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32, or the type itself where it is wider."""
    return torch.promote_types(dtype, torch.float32)
