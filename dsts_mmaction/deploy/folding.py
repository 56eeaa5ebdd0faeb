"""Fold what norms and gates decided into a module's deployed form. Ours."""
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ..dsts.layer import DSTSLayer
from ..dsts.module import DSTSModule
from ..dsts.time_course import TimeCourse
from .dispatch import padded
from .fused_module import DeployedDSTSModule


@torch.no_grad()
def fuse(module: DSTSModule) -> DeployedDSTSModule:
    """The deployed form of a module, as it is in evaluation.

    Folded in float64; the result has the module's dtype and device. The
    module itself stays as it is.

    Args:
        module: In whatever mode; its running statistics count.

    Returns:
        A module in evaluation mode. Its features differ from those of
        ``module`` by rounding, its routing where two scores are that close.
    """
    weight = module.reduce.weight
    deployed = DeployedDSTSModule.like(module).to(weight)
    deployed.load_state_dict({
        **_named('reduce', *_fold_norm(weight, module.reduce_norm)),
        **_fuse_readout(module),
        **{f'layers.{i}.{name}': value
           for i, layer in enumerate(module.layers)
           for name, value in _fuse_layer(layer).items()}})
    return deployed


def _fuse_readout(module: DSTSModule) -> dict[str, Tensor]:
    readout = module.readout
    weights = readout.linear.weight.double().unsqueeze(0)
    if readout.own_weights is not None:  # SharedReadout has none
        weights = weights + readout.own_weights.double()
    weights, biases = _fold_time_course(weights * readout.gain,
                                        readout.time_course)
    return {'readout.weights': weights, 'readout.biases': biases}


def _fold_time_course(weight: Tensor, time_course: TimeCourse
                      ) -> tuple[Tensor, Tensor]:
    """Weight (..., M * K) and bias, in float64, with the norm before them."""
    norm = time_course.norm
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    weight = weight.double().unflatten(-1, (-1, time_course.cosines))
    weight = weight * scale[:, None]
    # Of a constant, only the first coefficient is not zero.
    bias = -weight[..., 0] @ norm.running_mean.double()
    return weight.flatten(-2), bias


def _fuse_layer(layer: DSTSLayer) -> dict[str, Tensor]:
    neurons, synapse = layer.neurons, layer.synapse
    weight, bias = _fold_time_course(synapse.linear.weight,
                                     synapse.time_course)
    state = _named('synapse', weight, bias + synapse.linear.bias.double())

    if neurons.gate_logits is not None:  # UngatedNeurons have none
        state['places'] = _places(neurons.spatial_channels())
    gates = neurons.gates().unbind(-1)
    for name, (private, shared), kept in zip(
            ('spatial_kernels', 'temporal_kernels'), neurons.operators(),
            gates):
        folded = []
        for n, own in enumerate(private):
            whole, state['bias'] = _fold_norm(own.double() + shared.double(),
                                              layer.norm)
            folded.append(whole[kept[n].bool()].to(own))
        state[name] = _stacked(folded)
    return state


def _places(is_spatial: Tensor) -> Tensor:
    """Where each channel is, (N, M): spatial ones first, in their order."""
    order = (~is_spatial).int().argsort(dim=1, stable=True)
    counts = is_spatial.sum(1, keepdim=True)
    position = order.argsort(dim=1)
    most = padded(int(counts.max()), is_spatial.shape[1])
    return torch.where(is_spatial, position, position - counts + most)


def _stacked(kernels: list[Tensor]) -> Tensor:
    """Neurons with fewer kernels, and an odd number, filled up with zeros."""
    stacked = nn.utils.rnn.pad_sequence(kernels, batch_first=True)
    most, channels = stacked.shape[1:3]
    missing = padded(most, channels) - most
    return torch.cat([stacked, stacked.new_zeros(
        len(stacked), missing, *stacked.shape[2:])], 1)


def _fold_norm(weight: Tensor,
               norm: nn.modules.batchnorm._BatchNorm
               ) -> tuple[Tensor, Tensor]:
    """Weight and bias, in float64, of a convolution and the norm behind."""
    weight, bias = fuse_conv_bn_weights(
        weight.double(), None, norm.running_mean.double(),
        norm.running_var.double(), norm.eps, norm.weight.double(),
        norm.bias.double())
    return weight.detach(), bias.detach()


def _named(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    return {f'{name}.weight': weight, f'{name}.bias': bias}
