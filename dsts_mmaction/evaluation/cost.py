"""What a specialized recognizer costs: as stored, and as executed."""
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from ..adapters.omni import class_scores
from ..adapters.specialized import trainable_dsts_modules
from ..deploy.folding import fuse
from ..dsts import DSTSModule, DSTSOutput
from ..dsts.parameters import Role, parameter_roles
from ..utils.configs import unfit_input, without_weights
from ..utils.flops import count_flops


class Cost(NamedTuple):
    """Multiplications with addition of one forward, and parameters.

    Attributes:
        plain_flops: Of the recognizer without its DSTS modules.
        executed_flops: Of the DSTS modules, of what was chosen.
        stored_flops: Of the DSTS modules if all neurons ran, with both
            operators.
        plain_parameters: Of the recognizer without its DSTS modules.
        executed_parameters: Of the DSTS modules, what one sample runs
            through (mean over neurons).
        stored_parameters: Of the DSTS modules, all.
    """
    plain_flops: int
    executed_flops: int
    stored_flops: int
    plain_parameters: int
    executed_parameters: int
    stored_parameters: int


def specialized_cost(cfg: Config, shape: Sequence[int]) -> Cost:
    """Count a specialized recognizer's operations and parameters.

    The weights are those of its initialization: which operators gates
    choose, and so what is executed, varies a little with them.

    Args:
        cfg: Config of a specialized recognizer.
        shape: Of its input, as
            :func:`~dsts_mmaction.utils.configs.view_shape` gives it.

    Raises:
        ValueError: The recognizer has no DSTS module, or is deployed, or
            does not take such an input.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    model = MODELS.build(without_weights(cfg).model).eval()
    modules = trainable_dsts_modules(model)
    try:
        plain, clips = _without_modules(model, modules, shape)
    except RuntimeError as error:
        raise ValueError(unfit_input(shape, error)) from error
    executed = sum(_executed_flops(module, clips[module])
                   for module in modules)
    stored = sum(_dense_flops(module, clips[module]) for module in modules)
    parameters = sum(p.numel() for m in modules for p in m.parameters())
    return Cost(
        plain, executed, stored,
        sum(p.numel() for p in model.parameters()) - parameters,
        sum(map(_executed_parameters, modules)), parameters)


def _without_modules(model: nn.Module, modules: Sequence[DSTSModule],
                     shape: Sequence[int]
                     ) -> tuple[int, dict[DSTSModule, Tensor]]:
    """Operations of the rest, and random features for every module."""
    seen: dict[DSTSModule, Tensor] = {}

    def leave_out(module: DSTSModule) -> None:

        def forward(clips: Tensor) -> DSTSOutput:
            seen[module] = clips
            return DSTSOutput(clips, {}, None)

        module.forward = forward

    for module in modules:
        leave_out(module)
    try:
        # Shapes without values: nothing is computed.
        with FakeTensorMode(allow_non_fake_inputs=True):
            inputs = torch.empty(tuple(shape))
            flops = count_flops(lambda: class_scores(model, inputs))
    finally:
        for module in modules:
            del module.forward
    return flops, {m: torch.randn(clips.shape) for m, clips in seen.items()}


def _executed_flops(module: DSTSModule, clips: Tensor) -> int:
    """Of what is chosen for each sample, which the deployed form runs."""
    deployed = fuse(module)
    # One by one: it may run a batch with kernels filled up to one size.
    return sum(count_flops(partial(deployed, clip))
               for clip in clips.split(1))


def _dense_flops(module: DSTSModule, clips: Tensor) -> int:
    inner, neurons = module.mid_channels, module.num_neurons
    positions = clips[:, 0].numel()
    coefficients = inner * module.cosines
    transform = clips[:, 0, :, 0, 0].numel() * coefficients
    layer = neurons * (12 * inner * inner * positions
                       + len(clips) * coefficients)  # and the synapse
    readout = len(clips) * coefficients * module.in_channels
    if module.readout.own_weights is not None:
        readout *= 1 + neurons
    return (module.in_channels * inner * positions
            + module.num_layers * (layer + transform)
            + readout + transform)


def _executed_parameters(module: DSTSModule) -> int:
    """Of one neuron in each layer (mean), and all that is none's own.

    What is private to a neuron is added to what neurons share, and counts
    once; so does only the operator that a channel's gate chooses.
    """
    role_of = parameter_roles(module)
    total = sum(
        parameter.numel() for name, parameter in module.named_parameters()
        if role_of[name] is not Role.PRIVATE and '.neurons.' not in name)
    for layer in module.layers:
        spatial, temporal = layer.neurons.gates().mean(0).sum(0).tolist()
        total += round(module.mid_channels * (9 * spatial + 3 * temporal))
    return total
