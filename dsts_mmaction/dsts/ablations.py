"""The method with a part taken out: forms that it is compared with. Ours.

- *ungated*: every channel is the sum of both operators;
- *unshared*: the kernels of two neurons have no part in common;
- a *single neuron* that all samples run through, so that nothing is chosen;
- a *shared readout*, one map for all neurons.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from .convolutions import spatial, temporal
from .neurons import PRIVATE_STD, SpecializedNeurons
from .readout import Readout


class UngatedNeurons(SpecializedNeurons):
    """Neurons whose channels are the sum of both operators."""

    def __init__(self, channels: int, num_neurons: int,
                 temperature: float) -> None:
        super().__init__(channels, num_neurons, temperature)
        self.register_parameter('gate_logits', None)

    def reset_gates(self) -> None:
        """There are none."""

    def gates(self, noise: Tensor | None = None) -> Tensor:
        """Both operators of every channel, (N, M, 2)."""
        return self.spatial_kernels.new_ones(
            *self.spatial_kernels.shape[:2], 2)


class UnsharedNeurons(SpecializedNeurons):
    """Neurons whose kernels have no part in common."""

    def __init__(self, channels: int, num_neurons: int,
                 temperature: float) -> None:
        super().__init__(channels, num_neurons, temperature)
        for name in ('shared_spatial_kernel', 'shared_temporal_kernel'):
            zeros = getattr(self, name).detach()
            delattr(self, name)
            self.register_buffer(name, zeros, persistent=False)

    def reset_kernels(self) -> None:
        """He initialisation of each neuron's kernels."""
        super().reset_kernels()
        for private, shared in self.operators():
            nn.init.zeros_(shared)
            private.data.div_(PRIVATE_STD)


class UngatedUnsharedNeurons(UngatedNeurons, UnsharedNeurons):
    """Neurons without gates and without a part in common."""


class SingleNeuron(UnsharedNeurons):
    """One neuron, which has none to share with."""

    def forward(self, z: Tensor, routing: Tensor, index: Tensor,
                gate_noise: Tensor | None = None) -> Tensor:
        """All samples run through the same kernels."""
        kernels = self.mixed_kernels(routing[:1], index[:1], gate_noise)
        return spatial(z, kernels[0][0]) + temporal(z, kernels[1][0])


class UngatedSingleNeuron(UngatedNeurons, SingleNeuron):
    """One neuron without gates: nothing is decided."""


class SharedReadout(Readout):
    """A readout with one map for all neurons."""

    def __init__(self, mid_channels: int, out_channels: int, cosines: int,
                 num_neurons: int) -> None:
        super().__init__(mid_channels, out_channels, cosines, num_neurons)
        self.register_parameter('own_weights', None)

    def project(self, coefficients: Tensor, routing: Tensor) -> Tensor:
        """Coefficients (B, M * K) to (B, C)."""
        return F.linear(coefficients,
                        self.linear.weight.to(coefficients.dtype))


def neurons_class(num_neurons: int, gates: bool,
                  shared_kernels: bool) -> type[SpecializedNeurons]:
    """The form of the neurons for options of DSTSModule."""
    if num_neurons == 1:
        return SingleNeuron if gates else UngatedSingleNeuron
    return {
        (True, True): SpecializedNeurons,
        (True, False): UnsharedNeurons,
        (False, True): UngatedNeurons,
        (False, False): UngatedUnsharedNeurons,
    }[gates, shared_kernels]


def readout_class(num_neurons: int,
                  specialized_readout: bool) -> type[Readout]:
    """The form of the readout for options of DSTSModule."""
    several = num_neurons > 1 and specialized_readout
    return Readout if several else SharedReadout
