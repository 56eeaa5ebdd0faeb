"""The DSTS module for inference: what its norms and gates decided, folded.

With the running statistics fixed, every norm is a scale and a shift, and
every channel of a neuron has chosen its operator. So the norms go into the
convolutions before them (those of synapses and readout into the linear maps
behind them), the shared kernels into each neuron's own, and the kernels that
the gates did not choose go away. Source: ours.
"""
import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..dsts.convolutions import pointwise, spatial, temporal
from ..dsts.module import DSTSModule, DSTSOutput
from ..dsts.time_course import cosine_coefficients, wide_dtype
from .dispatch import (
    opaque,
    padded,
    run_by_neuron,
    run_by_sample,
    runs_by_neuron,
    take_of_neurons,
    take_rows,
)


class DeployedLayer(nn.Module):
    """One layer, ``z + ReLU(neuron(z) + bias)``.

    The spatial channels of a neuron come first, then the temporal ones;
    ``places`` says where each channel is. Neurons with fewer channels of a
    kind than another are filled up with zeros.

    Args:
        channels: Channels M, in and out.
        num_neurons: Number N of neurons.
        cosines: Coefficients K that the synapse sees.
        gates: Whether a channel is either spatial or temporal. Without, it
            is the sum of both.
    """

    def __init__(self, channels: int, num_neurons: int, cosines: int,
                 gates: bool) -> None:
        super().__init__()
        self.cosines = cosines
        self.gates = gates
        self.synapse = nn.Linear(channels * cosines, num_neurons)
        # How many there are of each kind is known from a state dict only.
        self.register_buffer(
            'spatial_kernels', torch.zeros(num_neurons, 0, channels, 3, 3))
        self.register_buffer(
            'temporal_kernels', torch.zeros(num_neurons, 0, channels, 3))
        self.register_buffer('bias', torch.zeros(channels))
        self.register_buffer(
            'places', torch.zeros(num_neurons, channels, dtype=torch.int64)
            if gates else None)
        #: Spatial channels of each neuron; read once, not in every forward.
        self._spatial_counts = [0] * num_neurons

    def forward(self, z: Tensor, batched: bool) -> tuple[Tensor, Tensor]:
        """Run the layer on features (B, M, T, H, W).

        Args:
            z: Features.
            batched: Whether all samples run in one matrix product each with
                its own kernels, rather than neuron by neuron.

        Returns:
            Features, and the selected neurons, shape (B,), int64.
        """
        index = self._scores(z, batched).argmax(dim=1)
        if batched:
            out = self._run_batched(z, index)
        else:
            out = _dispatch(z, index, self.spatial_kernels,
                            self.temporal_kernels, self.places,
                            self._spatial_counts)
        bias = self.bias.view(-1, 1, 1, 1)
        # In place where nothing else sees it: each pass over them counts.
        out = F.relu(out + bias, inplace=True)
        return z + out, index

    def _scores(self, z: Tensor, batched: bool) -> Tensor:
        """Scores (B, N), float32 or wider as those of :class:`Synapse`.

        Under autocast, not if ``batched``.
        """
        weight, bias = self.synapse.weight, self.synapse.bias
        dtype = wide_dtype(weight.dtype)
        with _without_autocast(z, batched):
            return F.linear(_coefficients(z, self.cosines, dtype),
                            weight.to(dtype), bias.to(dtype))

    def _run_batched(self, z: Tensor, index: Tensor) -> Tensor:
        """The same without a loop or a shape that depends on values.

        A convolution's groups, and so the kernels per sample, are a constant
        of ONNX and torch.export; a batched matrix product's are not.
        """
        outputs = [
            torch.bmm(kernels[index].flatten(2), patches(z))
            for kernels, patches in ((self.spatial_kernels, _spatial_patches),
                                     (self.temporal_kernels,
                                      _temporal_patches))
            if kernels.shape[1]]
        if self.gates:
            out = take_rows(torch.cat(outputs, 1), self.places[index])
        else:
            out = sum(outputs)
        return out.view(z.shape)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor],
                              prefix: str, *args: Any) -> None:
        for name in ('spatial_kernels', 'temporal_kernels'):
            own, new = getattr(self, name), state_dict.get(prefix + name)
            if new is not None and (new.shape[:1] + new.shape[2:]
                                    == own.shape[:1] + own.shape[2:]):
                setattr(self, name, own.new_empty(new.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.gates:
            limit = self.spatial_kernels.shape[1]
            self._spatial_counts = (self.places < limit).sum(1).tolist()


class DeployedReadout(nn.Module):
    """The readout, its shared map added to each neuron's own.

    Args:
        mid_channels: Channels M of the layers.
        out_channels: Channels C of the features.
        cosines: Coefficients K of the time course.
        num_maps: One for each neuron of the last layer, or 1 for all.
    """

    def __init__(self, mid_channels: int, out_channels: int, cosines: int,
                 num_maps: int) -> None:
        super().__init__()
        self.cosines = cosines
        self.weights = nn.Parameter(
            torch.empty(num_maps, out_channels, mid_channels * cosines))
        self.biases = nn.Parameter(torch.empty(num_maps, out_channels))

    def forward(self, z: Tensor, index: Tensor, batched: bool) -> Tensor:
        """What is added, (B, C), float32 or wider as by :class:`Readout`.

        Under autocast, not if ``batched``.
        """
        dtype = wide_dtype(self.weights.dtype)
        with _without_autocast(z, batched):
            coefficients = _coefficients(z, self.cosines, dtype)
            if len(self.weights) == 1:
                return F.linear(coefficients, self.weights[0].to(dtype),
                                self.biases[0].to(dtype))
            weights = self.weights[index].to(dtype)
            out = torch.bmm(weights, coefficients.unsqueeze(2)).squeeze(2)
            return out + self.biases[index].to(dtype)


class DeployedDSTSModule(nn.Module):
    """What :func:`~.folding.fuse` makes of a DSTSModule; called the same way.

    It is for inference: it has no losses and cannot be trained.

    Args:
        in_channels: Channels C of the feature map.
        num_neurons: Neurons N in each layer.
        num_layers: Layers L.
        mid_channels: Inner channels M.
        cosines: Coefficients K that synapses and readout see.
        gates: Whether the neurons have gates.
        specialized_readout: Whether the readout has a map for each neuron.

    Attributes:
        batched: Whether the samples of a batch run in batched matrix
            products, each with its own kernels, rather than neuron by
            neuron; both give the same. No shape then depends on a value, as
            torch.export and ONNX ask for. On a CPU it takes longer.
    """

    def __init__(self, in_channels: int, num_neurons: int, num_layers: int,
                 mid_channels: int, cosines: int, gates: bool,
                 specialized_readout: bool) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.num_neurons = num_neurons
        self.num_layers = num_layers
        self.mid_channels = mid_channels
        self.cosines = cosines
        self.gates = gates
        self.specialized_readout = specialized_readout
        self.batched = False
        self.reduce = nn.Conv2d(in_channels, mid_channels, 1)
        self.layers = nn.ModuleList(
            DeployedLayer(mid_channels, num_neurons, cosines, gates)
            for _ in range(num_layers))
        self.readout = DeployedReadout(
            mid_channels, in_channels, cosines,
            num_neurons if specialized_readout else 1)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def like(cls, module: DSTSModule) -> 'DeployedDSTSModule':
        """The form, without weights, that ``module`` is fused into."""
        return cls(module.in_channels, module.num_neurons, module.num_layers,
                   module.mid_channels, module.cosines, module.gates,
                   module.specialized_readout)

    def forward(self, x: Tensor) -> DSTSOutput:
        """Specialize a feature map.

        Args:
            x: Features, shape (B, C, T, H, W), floating point.

        Returns:
            As :class:`DSTSModule` in evaluation.

        Raises:
            ValueError: ``x`` has another rank or channel count, or the
                module is in training mode or has no state yet.
        """
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ValueError(
                'DeployedDSTSModule takes features of shape (B, C, T, H, W) '
                f'with C = in_channels = {self.in_channels}, got shape '
                f'{tuple(x.shape)}.')
        self._check_state()
        z = F.relu(pointwise(x, self.reduce.weight, self.reduce.bias),
                   inplace=True)
        choices = []
        for layer in self.layers:
            z, index = layer(z, self.batched)
            choices.append(index)
        residual = self.readout(z, index, self.batched).to(x.dtype)
        return DSTSOutput(x + residual[:, :, None, None, None], {},
                          torch.stack(choices))

    def reset_parameters(self) -> None:
        """There is nothing to begin with: a state dict has to be loaded."""

    def _check_state(self) -> None:
        if self.training:
            raise ValueError('a deployed DSTS module cannot be trained: train '
                             'the one it was made of, without deployed=True.')
        if not all(layer.spatial_kernels.shape[1]
                   + layer.temporal_kernels.shape[1]
                   for layer in self.layers):
            raise ValueError('a deployed DSTS module has nothing to run '
                             'before its checkpoint, from tools/deploy.py, is '
                             'loaded.')

    def extra_repr(self) -> str:
        """Of ``print(model)``."""
        return (f'in_channels={self.in_channels}, '
                f'num_neurons={self.num_neurons}, '
                f'num_layers={self.num_layers}, '
                f'mid_channels={self.mid_channels}, '
                f'cosines={self.cosines}, gates={self.gates}, '
                f'specialized_readout={self.specialized_readout}')


def _coefficients(z: Tensor, cosines: int, dtype: torch.dtype) -> Tensor:
    """Of features (B, M, T, H, W), without a norm, (B, M * K)."""
    return cosine_coefficients(
        z.mean(dim=(3, 4), dtype=dtype), cosines).flatten(1)


def _without_autocast(z: Tensor, traced: bool) -> AbstractContextManager:
    """No autocast, but where torch.export would trip over that."""
    if traced:
        return contextlib.nullcontext()
    return torch.autocast(z.device.type, enabled=False)


@opaque('dispatch_deployed')
def _dispatch(z: Tensor, index: Tensor, spatial_kernels: Tensor,
              temporal_kernels: Tensor, places: Tensor | None,
              spatial_counts: list[int]) -> Tensor:
    channels, limit = z.shape[1], spatial_kernels.shape[1]

    def run_neuron(neuron: int, samples: Tensor) -> Tensor:
        own = (spatial_kernels[neuron].to(z.dtype),
               temporal_kernels[neuron].to(z.dtype))
        if places is None:
            return (spatial(samples, own[0])
                    + temporal(samples, own[1]))
        count = spatial_counts[neuron]
        # Temporal channels follow this neuron's own spatial ones here.
        order = places[neuron]
        order = order - (order >= limit) * (limit - count)
        return torch.cat([
            run(samples, kernels) for run, kernels in (
                (spatial, own[0][:count]),
                (temporal, own[1][:channels - count]))
            if len(kernels)], 1)[:, order]

    chosen = index.tolist()
    if runs_by_neuron(chosen):
        return run_by_neuron(z, chosen, run_neuron)
    num_spatial, num_temporal, own_places = channels, channels, None
    if places is not None:
        counts = [spatial_counts[neuron] for neuron in chosen]
        num_spatial = padded(max(counts), channels)
        num_temporal = padded(channels - min(counts), channels)
        own_places = places[index]
        own_places = own_places - (own_places >= limit) * (
            limit - num_spatial)
    return run_by_sample(z, *(
        take_of_neurons(
            kernels, index, torch.arange(count, device=z.device)).to(z.dtype)
        for kernels, count in ((spatial_kernels, num_spatial),
                               (temporal_kernels, num_temporal))),
        own_places)


def _spatial_patches(z: Tensor) -> Tensor:
    """What a 1x3x3 kernel sees at each place, (B, M * 9, T * H * W)."""
    height, width = z.shape[3:]
    z = F.pad(z, (1, 1, 1, 1))
    return torch.stack([z[..., i:i + height, j:j + width]
                        for i in range(3) for j in range(3)],
                       2).flatten(1, 2).flatten(2)


def _temporal_patches(z: Tensor) -> Tensor:
    """What a 3x1x1 kernel sees at each place, (B, M * 3, T * H * W)."""
    time = z.shape[2]
    z = F.pad(z.flatten(3), (0, 0, 1, 1))
    return torch.stack([z[:, :, i:i + time] for i in range(3)],
                       2).flatten(1, 2).flatten(2)
