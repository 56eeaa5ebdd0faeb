"""Forwards in evaluation, of modules and of whole recognizers.

For rows of bench_speed.py.
"""
import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from dsts_mmaction.deploy import exporting
from dsts_mmaction.deploy.fusing import fuse_conv_bn, fuse_dsts
from dsts_mmaction.dsts.convolutions import pointwise, spatial, temporal
from dsts_mmaction.dsts.time_course import cosine_coefficients
from dsts_mmaction.models import DSTSModule
from dsts_mmaction.utils.configs import view_shape, without_weights
from tools.bench_iterations import recognizer_as_if_trained


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
    readout. No norms, no shortcuts, no routing.
    """

    def __init__(self, module: DSTSModule) -> None:
        super().__init__()
        inner = module.mid_channels
        self.reduce = torch.randn(inner, module.in_channels, 1, 1)
        self.cosines = module.cosines
        self.out = torch.randn(module.in_channels, inner * module.cosines)
        self.spatial, self.temporal = nn.ParameterList(), nn.ParameterList()
        for layer in module.layers:
            counts = layer.neurons.spatial_channels().float().sum(1)
            count = round(counts.mean().item())
            self.spatial.append(torch.randn(count, inner, 3, 3))
            self.temporal.append(torch.randn(inner - count, inner, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, T, H, W), as the module takes them."""
        z = pointwise(x, self.reduce)
        for over_space, over_time in zip(self.spatial, self.temporal):
            z = torch.cat([spatial(z, over_space),
                           temporal(z, over_time)], 1)
        coefficients = cosine_coefficients(z.mean((3, 4)), self.cosines)
        added = F.linear(coefficients.flatten(1), self.out)
        return x + added[:, :, None, None, None]


def deployed_and_plain(config: str, batch: int,
                       form: str = 'eager') -> tuple[Callable, Callable]:
    """Class scores of a deployed recognizer, and of one without DSTS.

    Args:
        config: Of a specialized recognizer with its module at the head.
        batch: Clips, one view each, of the config's frames and size.
        form: Of both sides: ``'eager'``, as PyTorch runs it, or
            ``'compiled'`` by torch.compile, from normalized clips to scores;
            ``'program'`` of torch.export or ``'onnx'``, from uint8 clips.
    """
    special, shape = deployed_recognizer(config)
    if form in ('program', 'onnx'):
        return exported_and_plain(special, (batch, *shape[1:]), form)
    plain = copy.deepcopy(special)
    plain.cls_head = plain.cls_head.head
    x = torch.randn(batch, *shape[1:])
    return tuple(class_scores(model, x, form == 'compiled')
                 for model in (special, plain))


def compiled_and_eager(config: str, batch: int) -> tuple[Callable, Callable]:
    """Class scores of one deployed recognizer, with torch.compile and not."""
    model, shape = deployed_recognizer(config)
    x = torch.randn(batch, *shape[1:])
    return class_scores(model, x, True), class_scores(model, x)


def class_scores(model: nn.Module, clips: Tensor,
                 compiled: bool = False) -> Callable[[], None]:
    """A recognizer's class scores of normalized clips."""

    def forward(clips: Tensor) -> Tensor:
        return model(clips, mode='tensor', stage='head')

    return without_gradients(
        torch.compile(forward) if compiled else forward, clips)


def recognizer_growth(config: str, batch: int) -> tuple[Callable, Callable]:
    """Class scores of a deployed recognizer with 64 neurons, and with 4."""

    def scores(num_neurons: int) -> Callable[[], None]:
        model, shape = deployed_recognizer(config, num_neurons)
        return class_scores(model, torch.randn(batch, *shape[1:]))

    return scores(64), scores(4)


def deployed_recognizer(config: str, num_neurons: int = 10
                        ) -> tuple[nn.Module, tuple[int, ...]]:
    """A recognizer of random weights, its routing even, and a view's shape.

    Batch norms of its backbone are folded.
    """
    cfg = without_weights(Config.fromfile(config))
    cfg.model.cls_head.dsts.num_neurons = num_neurons
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    shape = view_shape(cfg)
    model = recognizer_as_if_trained(
        MODELS.build(cfg.model), torch.randn(8, *shape[1:]))
    return fuse_conv_bn(fuse_dsts(model)), shape


def exported_and_plain(model: nn.Module, shape: Sequence[int],
                       form: str) -> tuple[Callable, Callable]:
    """Predictions of an exported recognizer, and of one without DSTS.

    Args:
        model: The deployed recognizer.
        shape: Of the clips.
        form: ``'program'`` or ``'onnx'``.
    """
    clips = torch.randint(256, (max(shape[0], 2), *shape[1:]),
                          dtype=torch.uint8)
    special = exporting.Exportable(model, clips)

    def predictions(recognizer: exporting.Exportable) -> Callable[[], object]:
        program = exporting.export(recognizer, clips)
        batch = clips[:shape[0]]
        if form == 'program':
            return without_gradients(program.module(), batch)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'recognizer.onnx'
            exporting.write_onnx(program, path)
            run = exporting.onnx_runner(path)
        return lambda: run(batch)

    return predictions(special), predictions(exporting.without_dsts(special))
