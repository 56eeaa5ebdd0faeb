"""Specialized neurons: kernels whose channels learn to be spatial or temporal.

The paper (arXiv 2209.01425) states that each neuron learns an architecture
that captures more spatial or more temporal detail; the form, one gate per
neuron and channel between a 1x3x3 and a 3x1x1 kernel, is ours.
"""
import math
from typing import Optional, Tuple, Union

import torch
from torch import Tensor, nn

from .convolutions import spatial, spatial_by_frame, temporal
from .dispatch import (opaque, padded, run_by_neuron, run_by_sample,
                       runs_by_neuron, take_of_neurons)
from .kernel_mixing import mix_kernels
from .straight_through import straight_through_one_hot

# Initial size of a neuron's own kernels beside the shared ones (ours).
OWN_STD = 0.3
# Of the gate logits (ours).
GATE_STD = 0.3


class SpecializedNeurons(nn.Module):
    """N neurons of one layer, one of which runs for each sample.

    Output channel c of neuron n is ``g_s[n, c] * conv_1x3x3 + g_t[n, c] *
    conv_3x1x1``, where the gate ``(g_s, g_t)`` is one-hot.

    Args:
        channels: Channels M, in and out.
        num_neurons: Number N of neurons.
        temperature: Temperature of the gates' softmax.
        gates: Whether there are gates. Without, every channel is the sum of
            both operators.
        shared_kernels: Whether neurons share a part of their kernels; one
            neuron has none to share with.
    """

    def __init__(self, channels: int, num_neurons: int, temperature: float,
                 gates: bool, shared_kernels: bool) -> None:
        super().__init__()
        self.temperature = temperature
        self.spatial_kernels = nn.Parameter(
            torch.empty(num_neurons, channels, channels, 3, 3))
        self.temporal_kernels = nn.Parameter(
            torch.empty(num_neurons, channels, channels, 3))
        for name, kernels in (('spatial', self.spatial_kernels),
                              ('temporal', self.temporal_kernels)):
            self.register_parameter(
                f'shared_{name}_kernel',
                nn.Parameter(torch.empty(kernels.shape[1:]))
                if shared_kernels and num_neurons > 1 else None)
        self.register_parameter(
            'gate_logits',
            nn.Parameter(torch.empty(num_neurons, channels, 2))
            if gates else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """He initialisation of either operator; neurons share the gates."""
        for kernels, shared in self._operators():
            std = math.sqrt(2 / kernels[0, 0].numel())
            if shared is not None:
                nn.init.normal_(shared, std=std)
                # Perturbed copies of one neuron.
                std *= OWN_STD
            nn.init.normal_(kernels, std=std)
        # About half of the channels start as temporal, the same ones in all
        # neurons: a channel that was spatial for some samples and temporal
        # for others would tell the next layer little.
        if self.gate_logits is not None:
            with torch.no_grad():
                self.gate_logits.copy_(
                    nn.init.normal_(self.gate_logits[0].clone(),
                                    std=GATE_STD))

    def spatial_channels(self) -> Tensor:
        """Which channels are spatial, shape (N, M), bool; needs gates."""
        return self.gate_logits.argmax(dim=-1) == 0

    def mix(self, z: Tensor, routing: Tensor, index: Tensor,
            gate_noise: Optional[Tensor]) -> Tensor:
        """Training forward: mix kernels, then one convolution per sample.

        Args:
            z: Features, shape (B, M, T, H, W).
            routing: Straight-through one-hot routing, shape (B, N).
            index: Selected neurons, shape (B,), int64.
            gate_noise: Gumbel noise, shape (N, M, 2); unused without gates.

        Returns:
            Shape (B, M, T, H, W). The gradient for ``routing`` and the gates
            is exactly that of running all N neurons with both operators.
        """
        weights = [routing.unsqueeze(-1).expand(-1, -1, z.shape[1])] * 2
        if self.gate_logits is not None:
            gates, _ = straight_through_one_hot(self.gate_logits, gate_noise,
                                                self.temperature)
            weights = [routing.unsqueeze(-1) * gate
                       for gate in gates.unbind(-1)]
        shape = z.shape
        batch, channels = shape[:2]
        if len(self.spatial_kernels) == 1:
            # Nothing to choose: all samples run through the same kernels.
            batch, index = 1, index[:1]
            weights = [each[:1] for each in weights]
        kernels = [_mix(each, index, *operator).flatten(0, 1)
                   for each, operator in zip(weights, self._operators())]
        z = z.reshape(-1, batch * channels, *shape[2:])
        # All samples of a batch, each with its own kernels, run as one
        # convolution with as many groups. A loop over samples and unfolding
        # with a batched matrix product were slower: the conv_* rows of
        # tools/bench_speed.py.
        out = (spatial(z, kernels[0], batch)
               + temporal(z, kernels[1], batch))
        return out.view(shape)

    def dispatch(self, z: Tensor, index: Tensor) -> Tensor:
        """Evaluation forward: run what was chosen and nothing else.

        Each sample goes through its selected neuron only, each channel
        through its chosen operator only. Nothing is cached, so there is
        nothing to go stale when parameters change.

        Args:
            z: Features, shape (B, M, T, H, W).
            index: Selected neurons, shape (B,), int64.

        Returns:
            Shape (B, M, T, H, W).
        """
        return _dispatch(z, index, self.spatial_kernels,
                         self.temporal_kernels, self.shared_spatial_kernel,
                         self.shared_temporal_kernel, self.gate_logits)

    def _operators(
            self) -> Tuple[Tuple[Tensor, Optional[Tensor]], ...]:
        """Own and shared kernels, spatial and temporal."""
        return ((self.spatial_kernels, self.shared_spatial_kernel),
                (self.temporal_kernels, self.shared_temporal_kernel))

    def extra_repr(self) -> str:
        num_neurons, channels = self.spatial_kernels.shape[:2]
        return f'{num_neurons} neurons of {channels} channels'


@opaque('dispatch')
def _dispatch(z: Tensor, index: Tensor, spatial_kernels: Tensor,
              temporal_kernels: Tensor,
              shared_spatial_kernel: Optional[Tensor],
              shared_temporal_kernel: Optional[Tensor],
              gate_logits: Optional[Tensor]) -> Tensor:
    operators = ((spatial_kernels, shared_spatial_kernel),
                 (temporal_kernels, shared_temporal_kernel))
    is_spatial = places = None
    if gate_logits is not None:
        is_spatial = gate_logits.argmax(dim=-1) == 0

    def run_neuron(neuron: int, samples: Tensor) -> Tensor:
        if is_spatial is None:
            everything = slice(None)
            return sum(
                run(samples, _select(neuron, everything, *kernels, z.dtype))
                for run, kernels in zip(_RUN, operators))
        outputs, order = [], []
        for run, kernels, kind in zip(
                _RUN, operators, (is_spatial[neuron], ~is_spatial[neuron])):
            channels = kind.nonzero().squeeze(1)
            if len(channels):
                outputs.append(run(
                    samples, _select(neuron, channels, *kernels, z.dtype)))
                order.append(channels)
        return torch.cat(outputs, 1)[:, torch.cat(order).argsort()]

    chosen = index.tolist()
    if runs_by_neuron(chosen):
        return run_by_neuron(z, chosen, run_neuron)
    channels = [torch.arange(z.shape[1], device=z.device).expand(
        len(index), -1)] * 2
    if is_spatial is not None:
        *channels, places = _order(is_spatial[index])
    return run_by_sample(z, *(
        _select_by_sample(index, each, *kernels, z.dtype)
        for each, kernels in zip(channels, operators)), places)


_RUN = spatial_by_frame, temporal


def _order(is_spatial: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Which channels of each sample either operator has to give.

    Args:
        is_spatial: Shape (B, M), bool.

    Returns:
        Channels for the spatial operator, shape (B, S), and for the temporal
        one, shape (B, R), with some of the other kind to make up the
        numbers; and where each channel is among the S + R, shape (B, M).
    """
    channels = is_spatial.shape[1]
    is_temporal = (~is_spatial).int()
    order = is_temporal.argsort(dim=1, stable=True)  # spatial ones first
    num_temporal = is_temporal.sum(1)
    num_rows = padded(channels - int(num_temporal.min()), channels)
    first = channels - padded(int(num_temporal.max()), channels)
    position = order.argsort(dim=1)
    places = position + (num_rows - first) * is_temporal
    return order[:, :num_rows], order[:, first:], places


def _select_by_sample(index: Tensor, channels: Tensor, kernels: Tensor,
                      shared: Optional[Tensor],
                      dtype: torch.dtype) -> Tensor:
    """Kernels of some output channels of each sample's neuron, (B, R, …)."""
    selected = take_of_neurons(kernels, index, channels)
    if shared is not None:
        selected += shared.index_select(0, channels.flatten()).view_as(
            selected)
    return selected.to(dtype)


def _mix(weights: Tensor, index: Tensor, kernels: Tensor,
         shared: Optional[Tensor]) -> Tensor:
    """Mixed kernels of each sample, (B, M, *kernels.shape[2:])."""
    mixed = mix_kernels(weights, kernels.flatten(2), index)
    if shared is not None:
        # sum_n w_n (k_n + s) = sum_n w_n k_n + (sum_n w_n) s
        mixed = mixed + weights.sum(1).unsqueeze(-1).to(
            mixed.dtype) * shared.flatten(1)
    return mixed.unflatten(2, kernels.shape[2:])


def _select(neuron: int, channels: Union[slice, Tensor], kernels: Tensor,
            shared: Optional[Tensor], dtype: torch.dtype) -> Tensor:
    """Kernels of some output channels of a neuron."""
    selected = kernels[neuron, channels]
    if shared is not None:
        selected = selected + shared[channels]
    return selected.to(dtype)
