"""Synapse mechanism: which specialized neuron fires for a sample.

Idea from the DSTS paper (arXiv 2209.01425); the form, a linear map of the
features' normalised time course, is ours.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .time_course import TimeCourse, wide_dtype


class Synapse(nn.Module):
    """Relevance scores of N neurons for each sample.

    Random initial scores have a standard deviation of nearly 1 over samples,
    as the time course is normalised: similar samples share a neuron from the
    first step.

    Args:
        channels: Channels M of the features.
        num_neurons: Number N of neurons to score.
        cosines: Coefficients K of the time course.
    """

    def __init__(self, channels: int, num_neurons: int, cosines: int) -> None:
        super().__init__()
        self.time_course = TimeCourse(channels, cosines)
        self.linear = nn.Linear(channels * cosines, num_neurons)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initial scores have a standard deviation of nearly 1."""
        channels = self.time_course.norm.num_features
        nn.init.normal_(self.linear.weight, std=1 / math.sqrt(channels))
        nn.init.zeros_(self.linear.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Features (B, M, T, H, W) to router scores (B, N).

        Scores are float32 or wider, also under autocast: a choice between
        near-equal scores must not hang on bfloat16 rounding.
        """
        weight, bias = self.linear.weight, self.linear.bias
        dtype = wide_dtype(weight.dtype)
        with torch.autocast(z.device.type, enabled=False):
            return F.linear(self.time_course(z), weight.to(dtype),
                            bias.to(dtype))
