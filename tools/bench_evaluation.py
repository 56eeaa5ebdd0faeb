"""Forwards in evaluation, of modules and of whole recognizers.

For rows of bench_speed.py.
"""
import copy
from typing import Callable, Tuple

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from dsts_mmaction.deploy.fusing import fuse_conv_bn, fuse_dsts
from dsts_mmaction.models import DSTSModule
from dsts_mmaction.models.unspecialized import dsts_modules
from dsts_mmaction.utils.configs import view_shape, without_weights
from tools.bench_iterations import spread_evenly


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


def deployed_and_plain(config: str,
                       batch: int) -> Tuple[Callable, Callable]:
    """Class scores of a deployed recognizer, and of one without DSTS.

    Batch norms of the backbone are folded on both sides.

    Args:
        config: Of a specialized recognizer with its module at the head.
        batch: Clips, one view each, of the config's frames and size.
    """
    cfg = without_weights(Config.fromfile(config))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    special = MODELS.build(cfg.model)
    for module in dsts_modules(special):
        spread_evenly(module)
        # Or what it adds would be zero from the start.
        nn.init.normal_(module.expand.weight)
    plain = copy.deepcopy(special)
    plain.cls_head = plain.cls_head.head
    x = torch.randn(batch, *view_shape(cfg)[1:])

    def scores(model: nn.Module) -> Callable[[], None]:
        model = fuse_conv_bn(fuse_dsts(model))
        return without_gradients(
            lambda clips: model(clips, mode='tensor', stage='head'), x)

    return scores(special), scores(plain)
