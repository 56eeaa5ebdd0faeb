"""Synapse mechanism: which specialized neuron fires for a sample.

Idea from the DSTS paper (arXiv 2209.01425); the form, a linear map of the
averaged and normalised features, is ours.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .averages import normalize, wide_dtype


class Synapse(nn.Module):
    """Relevance scores of N neurons for each sample.

    Averages of positive features differ little from sample to sample. They
    are batch-normalised before they are scored (running statistics in
    evaluation), which spreads random initial scores to a standard deviation
    of 1: similar samples share a neuron from the first step. With one sample
    per process and step, the statistics never move from 0 and 1, and initial
    scores differ little.

    Args:
        channels: Channels M of the features.
        num_neurons: Number N of neurons to score.
    """

    def __init__(self, channels: int, num_neurons: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.linear = nn.Linear(channels, num_neurons)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initial scores have a standard deviation of 1."""
        nn.init.normal_(
            self.linear.weight, std=1 / math.sqrt(self.linear.in_features))
        nn.init.zeros_(self.linear.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Features (B, M, T, H, W) to router scores (B, N).

        Scores are float32 or wider, also under autocast: a choice between
        near-equal scores must not hang on bfloat16 rounding.
        """
        weight, bias = self.linear.weight, self.linear.bias
        dtype = wide_dtype(weight.dtype)
        with torch.autocast(z.device.type, enabled=False):
            pooled = normalize(z.mean(dim=(2, 3, 4), dtype=dtype), self.norm)
            return F.linear(pooled, weight.to(dtype), bias.to(dtype))
