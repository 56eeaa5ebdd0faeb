"""The evaluation forward of a module, beside what bounds it from below.

For rows of bench_speed.py.
"""
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsts_mmaction.models import DSTSModule


def without_gradients(forward: Callable[[Tensor], object],
                      x: Tensor) -> Callable[[], None]:
    """A call of a forward, to be timed."""

    def call() -> None:
        with torch.no_grad():
            forward(x)

    return call


class PlainConvolutions(nn.Module):
    """Convolutions of the same number of operations and the same shapes.

    One kernel for all samples instead of one for each: bottleneck, in each
    layer one spatial and one temporal convolution whose output channels are
    as many as a neuron's gates chose (their mean over neurons), and the
    convolution back. No norms, no shortcuts, no routing.
    """

    def __init__(self, module: DSTSModule) -> None:
        super().__init__()
        inner = module.mid_channels
        self.reduce = nn.Conv2d(module.in_channels, inner, 1, bias=False)
        self.expand = nn.Conv2d(inner, module.in_channels, 1, bias=False)
        self.spatial, self.temporal = nn.ParameterList(), nn.ParameterList()
        for layer in module.layers:
            spatial = layer.neurons.spatial_channels().float().sum(1).mean()
            count = round(spatial.item())
            self.spatial.append(torch.randn(count, inner, 1, 3, 3))
            self.temporal.append(torch.randn(inner - count, inner, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, T, H, W), as the module takes them."""
        shape = x.shape
        z = self.reduce(x.flatten(3)).unflatten(3, shape[3:])
        for spatial, temporal in zip(self.spatial, self.temporal):
            over_space = F.conv3d(z, spatial, padding=(0, 1, 1))
            over_time = F.conv2d(z.flatten(3), temporal, padding=(1, 0))
            z = torch.cat([over_space, over_time.unflatten(3, shape[3:])], 1)
        return self.expand(z.flatten(3)).unflatten(3, shape[3:])
