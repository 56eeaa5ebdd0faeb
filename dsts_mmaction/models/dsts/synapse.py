"""Synapse mechanism: which specialized neuron fires for a sample.

Idea from the DSTS paper (arXiv 2209.01425); the form, a linear map of the
averaged features, is ours.
"""
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Synapse(nn.Module):
    """Relevance scores of N neurons for each sample.

    Args:
        channels: Channels M of the features.
        num_neurons: Number N of neurons to score.
    """

    def __init__(self, channels: int, num_neurons: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, num_neurons)

    def forward(self, z: Tensor) -> Tensor:
        """Features (B, M, T, H, W) to router scores (B, N).

        Scores are float32 or wider, also under autocast: a choice between
        near-equal scores must not hang on bfloat16 rounding.
        """
        weight, bias = self.linear.weight, self.linear.bias
        dtype = torch.float64 if weight.dtype == torch.float64 \
            else torch.float32
        with torch.autocast(z.device.type, enabled=False):
            return F.linear(
                z.mean(dim=(2, 3, 4), dtype=dtype), weight.to(dtype),
                bias.to(dtype))
