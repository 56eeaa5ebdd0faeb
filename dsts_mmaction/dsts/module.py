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
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils.checks import (
    check_count,
    check_flag,
    check_not_negative,
    check_positive,
)
from .ablations import neurons_class, readout_class
from .convolutions import pointwise
from .layer import NO_NOISE, DSTSLayer, LayerNoise, LayerOutput
from .parameters import Role, parameter_roles
from .router_losses import balance_loss, router_z_loss
from .straight_through import sample_gumbel
from .synapse import Synapse


class DSTSOutput(NamedTuple):
    """What :class:`DSTSModule` returns.

    Attributes:
        features: Specialized features, shape and dtype of the input.
        losses: Auxiliary losses by name, scalars; empty in evaluation.
        routing: Selected neurons, shape (num_layers, B), int64.
    """
    features: Tensor
    losses: dict[str, Tensor]
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
            temporal. Without, it is both.
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
                 mid_channels: int | None = None,
                 cosines: int = 4,
                 temperature: float = 1.0,
                 gates: bool = True,
                 shared_kernels: bool = True,
                 specialized_readout: bool = True,
                 noise_scale: float = 0.0,
                 balance_loss_weight: float = 0.01,
                 router_z_loss_weight: float = 0.001) -> None:
        super().__init__()
        check_count('in_channels', in_channels)
        if mid_channels is None:
            mid_channels = min(max(in_channels // 4, 16), 256)
        check_count('num_neurons', num_neurons)
        check_count('num_layers', num_layers)
        check_count('mid_channels', mid_channels)
        check_count('cosines', cosines)
        check_positive('temperature', temperature)
        check_flag('gates', gates)
        check_flag('shared_kernels', shared_kernels)
        check_flag('specialized_readout', specialized_readout)
        check_not_negative('noise_scale', noise_scale)
        check_not_negative('balance_loss_weight', balance_loss_weight)
        check_not_negative('router_z_loss_weight', router_z_loss_weight)

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
        neurons = neurons_class(num_neurons, gates, shared_kernels)
        self.layers = nn.ModuleList(
            DSTSLayer(Synapse(mid_channels, num_neurons, cosines),
                      neurons(mid_channels, num_neurons, temperature),
                      temperature)
            for _ in range(num_layers))
        readout = readout_class(num_neurons, specialized_readout)
        self.readout = readout(mid_channels, in_channels, cosines,
                               num_neurons)

    def forward(self,
                x: Tensor,
                noise: Sequence[LayerNoise] | None = None) -> DSTSOutput:
        """Specialize a feature map.

        Args:
            x: Features, shape (B, C, T, H, W), floating point.
            noise: Gumbel noise of each layer, from :meth:`sample_noise`.
                Drawn here if not given. None is added in evaluation.

        Raises:
            ValueError: ``x`` has another rank or channel count, or too few
                values for batch norm in training.
        """
        self._check_input(x)
        if not self.training:
            noise = [NO_NOISE] * self.num_layers
        elif noise is None:
            noise = self.sample_noise(len(x))

        z = F.relu(self.reduce_norm(pointwise(x, self.reduce.weight)),
                   inplace=True)
        outputs = []
        for layer, layer_noise in zip(self.layers, noise):
            outputs.append(layer(z, layer_noise))
            z = outputs[-1].features
        residual = self.readout(z, outputs[-1].routing)
        return DSTSOutput(
            features=x + residual.to(x.dtype)[:, :, None, None, None],
            losses=self.router_losses(outputs) if self.training else {},
            routing=torch.stack([output.selected for output in outputs]))

    def router_losses(
            self, outputs: Sequence[LayerOutput]) -> dict[str, Tensor]:
        """Weighted auxiliary losses by name, summed over layers."""
        balance = [balance_loss(output.scores, output.selected)
                   for output in outputs]
        router_z = [router_z_loss(output.scores) for output in outputs]
        return dict(
            loss_balance=self.balance_loss_weight * torch.stack(balance).sum(),
            loss_router_z=(self.router_z_loss_weight
                           * torch.stack(router_z).sum()))

    def sample_noise(
        self,
        batch_size: int,
        generator: torch.Generator | None = None
    ) -> tuple[LayerNoise, ...]:
        """Draw the Gumbel noise of one training forward, layer by layer.

        Args:
            batch_size: Number B of samples.
            generator: Random stream. Defaults to torch's own.

        Returns:
            Noise of scale ``noise_scale``; nothing is drawn if that is 0.
        """
        if self.noise_scale == 0:
            return (NO_NOISE, ) * self.num_layers
        weight = self.reduce.weight

        def sample(*shape: int) -> Tensor:
            return self.noise_scale * sample_gumbel(
                shape, weight.device, weight.dtype, generator)

        return tuple(
            LayerNoise(sample(batch_size, self.num_neurons),
                       sample(self.num_neurons, self.mid_channels, 2))
            for _ in range(self.num_layers))

    def upstream_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that decide: synapses and gate logits."""
        return self._parameters_of(Role.UPSTREAM)

    def downstream_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters decided about: kernels, norms and readout."""
        return self._parameters_of(Role.COMMON, Role.PRIVATE, Role.NORM)

    def private_parameters(self) -> Iterator[nn.Parameter]:
        """The downstream parameters private to each neuron, (N, ...)."""
        return self._parameters_of(Role.PRIVATE)

    def reset_parameters(self) -> None:
        """Initialise every parameter anew; the module is the identity."""
        # Children first: what a parent sets is what stays.
        for module in reversed(list(self.modules())):
            reset = getattr(module, 'reset_parameters', None)
            if module is not self and reset is not None:
                reset()

    def extra_repr(self) -> str:
        """Of ``print(model)``."""
        return ', '.join(f'{name}={getattr(self, name)}' for name in (
            'in_channels', 'num_neurons', 'num_layers', 'mid_channels',
            'cosines', 'temperature', 'gates', 'shared_kernels',
            'specialized_readout', 'noise_scale'))

    def _parameters_of(self, *roles: Role) -> Iterator[nn.Parameter]:
        role_of = parameter_roles(self)
        return (parameter for name, parameter in self.named_parameters()
                if role_of[name] in roles)

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
