"""How evenly a layer's neurons are used, and what they have become."""
from collections import deque
from typing import cast

import torch
from torch import Tensor, nn

from ..adapters.pathways import Pathways
from ..adapters.specialized import dsts_modules
from ..dsts import DSTSLayer, DSTSModule

# A neuron that got its even share would be missing from a window by chance
# about once in e**20 times.
SAMPLES_PER_NEURON = 20
# The largest share from which a layer counts as collapsed.
COLLAPSED = 0.9


class RoutingStatistics:
    """Usage of the neurons of one DSTS module over a window of samples.

    A batch is too small to tell a dead neuron from an unlucky one, so the
    last batches with at least 20 samples per neuron are counted together.

    Args:
        module: The module.
        suffix: Of the names of what is logged.
    """

    def __init__(self, module: DSTSModule, suffix: str = '') -> None:
        self.module = module
        self.suffix = suffix
        self.window = SAMPLES_PER_NEURON * module.num_neurons
        self.counts: deque[Tensor] = deque()

    def update(self, routing: Tensor) -> None:
        """Count one batch.

        Args:
            routing: Selected neurons, shape (num_layers, B), int64.
        """
        counts = routing.new_zeros(len(routing), self.module.num_neurons)
        counts.scatter_add_(1, routing, torch.ones_like(routing))
        self.counts.append(counts.cpu())
        samples = self._samples()
        while samples - int(self.counts[0][0].sum()) >= self.window:
            samples -= int(self.counts.popleft()[0].sum())

    def scalars(self) -> dict[str, float]:
        """What to log, with the module and the layer in the name:

        - ``dsts_usage_entropy``: entropy of the usage over that of an even
          one; 1 if all neurons are used alike, 0 if there is one;
        - ``dsts_largest_share``: the largest share of the samples that one
          neuron got;
        - ``dsts_dead_neurons``: how many neurons got none;
        - ``dsts_spatial_share``: the share of spatial channels, over all
          neurons; not without gates.
        """
        shares = self._shares()
        entropy = torch.special.entr(shares).sum(1)
        if self.module.num_neurons > 1:
            entropy /= torch.tensor(float(self.module.num_neurons)).log()
        scalars = {}
        for i, layer in enumerate(self.module.layers):
            name = f'{self.suffix}_layer{i + 1}'
            scalars[f'dsts_usage_entropy{name}'] = entropy[i].item()
            scalars[f'dsts_largest_share{name}'] = shares[i].max().item()
            scalars[f'dsts_dead_neurons{name}'] = (shares[i] == 0).sum().item()
            if self.module.gates:
                is_spatial = cast(DSTSLayer, layer).neurons.spatial_channels()
                scalars[f'dsts_spatial_share{name}'] = (
                    is_spatial.double().mean().item())
        return scalars

    def collapsed(self) -> list[str]:
        """The layers whose full window one neuron nearly fills, by name."""
        if self.module.num_neurons == 1 or self._samples() < self.window:
            return []
        largest = self._shares().amax(1).tolist()
        return [
            f'{self.suffix}_layer{i + 1}'.lstrip('_')
            for i, share in enumerate(largest) if share >= COLLAPSED
        ]

    def _samples(self) -> int:
        """Samples in the window."""
        return sum(int(each[0].sum()) for each in self.counts)

    def _shares(self) -> Tensor:
        """Share of the window that a neuron got, (num_layers, N)."""
        counts = torch.stack(list(self.counts)).sum(0).double()
        return counts / counts.sum(1, keepdim=True)

    def state_dict(self) -> list[Tensor]:
        """The counts of the window's batches."""
        return list(self.counts)

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Go on from the counts of another window."""
        self.counts = deque(each.cpu() for each in state)


def routing_statistics(
        model: nn.Module) -> dict[nn.Module, RoutingStatistics]:
    """Statistics of every DSTS module, named as its losses are."""
    suffixes: dict[nn.Module, str] = {}
    for pathways in model.modules():
        if isinstance(pathways, Pathways):
            suffixes.update(zip(pathways, pathways.suffixes()))
    others = [m for m in dsts_modules(model) if m not in suffixes]
    for number, module in enumerate(others):
        suffixes[module] = f'_module{number}' if len(others) > 1 else ''
    return {m: RoutingStatistics(m, suffixes[m]) for m in dsts_modules(model)}
