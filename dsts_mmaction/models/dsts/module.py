"""Dynamic Spatio-Temporal Specialization, the module.

`Dynamic Spatio-Temporal Specialization Learning for Fine-Grained Action
Recognition <https://arxiv.org/abs/2209.01425>`_, T. Li et al., ECCV 2022::

    z_0 = ReLU(BN(conv_{C->M}(x)))                            bottleneck
    z_l = z_{l-1} + ReLU(BN_l(sum_n y_n neuron_n(z_{l-1})))   l = 1..L
    out = x + readout(z_L, y_L)                               starts as x

``y`` is the one-hot choice of the layer's synapse. The readout gives one
vector for each sample, from how the layers' result changes over time, by a map
that the neurons of the last layer share and one of the chosen neuron. The
paper's are the idea of specialized neurons, each active for a subset of
similar samples, and of neurons that learn to be spatial or temporal. The
bottleneck, the shortcuts, the norms, the part of the kernels that neurons
share, the readout, the auxiliary losses and all defaults are ours.

The module begins as the identity, and has to leave it. The readout's last
map starts at zero and no norm follows it: whatever the features offer, its
weights can turn to within a few steps. A norm whose scale starts at zero can
only scale random combinations of the features, and under Adam it hardly moved
(docs/what_we_tried.md).
"""
from typing import Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolutions import pointwise
from .layer import DSTSLayer, LayerNoise
from .readout import Readout
from .router_losses import balance_loss, router_z_loss
from .straight_through import sample_gumbel


class DSTSOutput(NamedTuple):
    """What :class:`DSTSModule` returns.

    Attributes:
        features: Specialized features, shape and dtype of the input.
        losses: Auxiliary losses by name, scalars; empty in evaluation.
        routing: Selected neurons, shape (num_layers, B), int64.
    """
    features: Tensor
    losses: Dict[str, Tensor]
    routing: Tensor


class DSTSModule(nn.Module):
    """Layers of specialized neurons on top of a feature map.

    The identity at initialisation. All defaults are ours.

    Args:
        in_channels: Channels C of the feature map.
        num_neurons: Specialized neurons N in each layer.
        num_layers: Layers L; a sample takes one of N**L paths.
        mid_channels: Inner channels M. Defaults to a quarter of
            ``in_channels``, at least 16 and at most 256.
        cosines: Coefficients K of the cosine transform over time that
            synapses and readout see; with 1, it is the average.
        temperature: Temperature of the Gumbel-softmax of synapses and gates.
        gates: Whether every channel of a neuron learns to be spatial or
            temporal. Without, it is both, at the cost of two operators.
        shared_kernels: Whether the neurons of a layer share a part of their
            kernels, as if beside them one more neuron always fired.
        specialized_readout: Whether the neurons of the last layer have maps
            of their own in the readout, beside the one they share.
        noise_scale: Scale of the Gumbel noise that is added to router scores
            and gate logits in training; with 0, both choose without noise.
        balance_loss_weight: Weight of the balance loss, summed over layers.
        router_z_loss_weight: Weight of the router z-loss, summed over layers.

    Raises:
        ValueError: An option is out of its range.
    """

    def __init__(self,
                 in_channels: int,
                 num_neurons: int = 10,
                 num_layers: int = 3,
                 mid_channels: Optional[int] = None,
                 cosines: int = 4,
                 temperature: float = 1.0,
                 gates: bool = True,
                 shared_kernels: bool = True,
                 specialized_readout: bool = True,
                 noise_scale: float = 0.0,
                 balance_loss_weight: float = 0.01,
                 router_z_loss_weight: float = 0.001) -> None:
        super().__init__()
        _check_count('in_channels', in_channels)
        _check_count('num_neurons', num_neurons)
        _check_count('num_layers', num_layers)
        if mid_channels is None:
            mid_channels = min(max(in_channels // 4, 16), 256)
        _check_count('mid_channels', mid_channels)
        _check_count('cosines', cosines)
        if not _is_number(temperature) or not temperature > 0:
            raise ValueError('temperature must be a number greater than 0, '
                             f'got {temperature!r}.')
        for name, flag in (('gates', gates),
                           ('shared_kernels', shared_kernels),
                           ('specialized_readout', specialized_readout)):
            if not isinstance(flag, bool):
                raise ValueError(f'{name} must be True or False, '
                                 f'got {flag!r}.')
        for name, weight in (('noise_scale', noise_scale),
                             ('balance_loss_weight', balance_loss_weight),
                             ('router_z_loss_weight', router_z_loss_weight)):
            if not _is_number(weight) or not weight >= 0:
                raise ValueError(f'{name} must be a number of 0 or more, '
                                 f'got {weight!r}.')

        self.in_channels = in_channels
        self.num_neurons = num_neurons
        self.num_layers = num_layers
        self.mid_channels = mid_channels
        self.cosines = cosines
        self.temperature = temperature
        self.gates = gates
        self.shared_kernels = shared_kernels
        self.specialized_readout = specialized_readout
        self.noise_scale = noise_scale
        self.balance_loss_weight = balance_loss_weight
        self.router_z_loss_weight = router_z_loss_weight

        self.reduce = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        self.reduce_norm = nn.BatchNorm3d(mid_channels)
        self.layers = nn.ModuleList(
            DSTSLayer(mid_channels, num_neurons, cosines, temperature, gates,
                      shared_kernels, noise_scale)
            for _ in range(num_layers))
        self.readout = Readout(
            mid_channels, in_channels, cosines,
            num_neurons if specialized_readout else 1)

    def reset_parameters(self) -> None:
        """Initialise every parameter anew; the module is the identity."""
        # Children first: what a parent sets is what stays.
        for module in reversed(list(self.modules())):
            if module is not self and hasattr(module, 'reset_parameters'):
                module.reset_parameters()

    def forward(self,
                x: Tensor,
                noise: Optional[Sequence[LayerNoise]] = None) -> DSTSOutput:
        """Specialize a feature map.

        Args:
            x: Features, shape (B, C, T, H, W), floating point.
            noise: Gumbel noise of each layer, from :meth:`sample_noise`.
                Drawn here if not given. Unused in evaluation.

        Raises:
            ValueError: ``x`` has another rank or channel count, or too few
                values for batch norm in training.
        """
        self._check_input(x)
        if not self.training:
            noise = [None] * self.num_layers
        elif noise is None:
            noise = self.sample_noise(len(x))

        z = F.relu(self.reduce_norm(pointwise(x, self.reduce.weight)),
                   inplace=True)
        choices, losses = [], {}
        for layer, layer_noise in zip(self.layers, noise):
            z, scores, index, routing = layer(z, layer_noise)
            choices.append(index)
            if self.training:
                self._add_losses(losses, scores, index)
        residual = self.readout(z, index, routing).to(x.dtype)
        features = x + residual[:, :, None, None, None]
        return DSTSOutput(features, losses, torch.stack(choices))

    def sample_noise(
            self,
            batch_size: int,
            generator: Optional[torch.Generator] = None
    ) -> Tuple[LayerNoise, ...]:
        """Draw the Gumbel noise of one training forward, layer by layer.

        Args:
            batch_size: Number B of samples.
            generator: Random stream. Defaults to torch's own.
        """
        kernels = self.layers[0].neurons.spatial_kernels
        options = kernels.device, kernels.dtype, generator
        gates = self.num_neurons, self.mid_channels, 2
        return tuple(
            LayerNoise(
                sample_gumbel((batch_size, self.num_neurons), *options),
                sample_gumbel(gates, *options) if self.gates else None)
            for _ in range(self.num_layers))

    def upstream_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that decide: synapses and gate logits."""
        for layer in self.layers:
            yield from layer.synapse.parameters()
            if self.gates:
                yield layer.neurons.gate_logits

    def downstream_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters decided about: kernels, norms, bottleneck."""
        upstream = {id(p) for p in self.upstream_parameters()}
        return (p for p in self.parameters() if id(p) not in upstream)

    def own_parameters(self) -> Iterator[nn.Parameter]:
        """What each neuron has beside a part that all neurons share.

        Its kernels and its map in the readout; downstream parameters, of
        shape (N, ...). Nothing of a layer that shares no kernels, or whose
        only neuron has none to share with.
        """
        for layer in self.layers:
            if layer.neurons.shared_spatial_kernel is not None:
                yield layer.neurons.spatial_kernels
                yield layer.neurons.temporal_kernels
        if self.readout.own_weights is not None:
            yield self.readout.own_weights

    def extra_repr(self) -> str:
        return (f'in_channels={self.in_channels}, '
                f'num_neurons={self.num_neurons}, '
                f'num_layers={self.num_layers}, '
                f'mid_channels={self.mid_channels}, '
                f'cosines={self.cosines}, '
                f'temperature={self.temperature}, gates={self.gates}, '
                f'shared_kernels={self.shared_kernels}, '
                f'specialized_readout={self.specialized_readout}, '
                f'noise_scale={self.noise_scale}')

    def _add_losses(self, losses: Dict[str, Tensor], scores: Tensor,
                    index: Tensor) -> None:
        terms = dict(
            loss_balance=self.balance_loss_weight *
            balance_loss(scores, index),
            loss_router_z=self.router_z_loss_weight * router_z_loss(scores))
        for name, loss in terms.items():
            losses[name] = losses[name] + loss if name in losses else loss

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ValueError(
                'DSTSModule takes features of shape (B, C, T, H, W) with '
                f'C = in_channels = {self.in_channels}, got shape '
                f'{tuple(x.shape)}.')
        if self.training and x.numel() == x.shape[1]:
            raise ValueError(
                'DSTSModule in training needs more than one value per channel '
                f'for batch norm, got features of shape {tuple(x.shape)}; use '
                'a larger batch, clip or image.')


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_count(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{name} must be an integer of 1 or more, '
                         f'got {value!r}.')
