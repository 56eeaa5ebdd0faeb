"""Each sample through the neuron that was chosen for it, and no other.

Which neurons run is read from a tensor, which breaks a graph of
``torch.compile``. So a compiled graph calls the whole dispatch as one opaque
operator, which runs what runs without a graph. Source: ours.
"""
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..dsts.convolutions import spatial, temporal

#: Samples per neuron from which on it is faster to run them together.
SAMPLES_PER_NEURON = 4
#: Channels that oneDNN runs at a time.
BLOCK = 16


def runs_by_neuron(chosen: Sequence[int]) -> bool:
    """Whether :func:`run_by_neuron` is faster than :func:`run_by_sample`.

    Args:
        chosen: Selected neuron of each sample.
    """
    count = len(set(chosen))
    return count == 1 or len(chosen) >= SAMPLES_PER_NEURON * count


def run_by_neuron(z: Tensor, chosen: Sequence[int],
                  run: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Run the samples that chose the same neuron together.

    Args:
        z: Features, shape (B, ...).
        chosen: Selected neuron of each sample.
        run: Gives the output of a neuron for some of the samples.

    Returns:
        The outputs in the order of the samples.
    """
    neurons = sorted(set(chosen))
    if len(neurons) == 1:
        return run(neurons[0], z)
    outputs, order = [], []
    for neuron in neurons:
        samples = [i for i, other in enumerate(chosen) if other == neuron]
        outputs.append(run(neuron, z[samples]))
        order += samples
    back = sorted(range(len(order)), key=order.__getitem__)
    return torch.cat(outputs)[back]


def run_by_sample(z: Tensor, spatial_kernels: Tensor,
                  temporal_kernels: Tensor,
                  places: Tensor | None) -> Tensor:
    """Run each sample with kernels of its own, as groups of one convolution.

    Args:
        z: Features, shape (B, M, T, H, W).
        spatial_kernels: Shape (B, S, M, 3, 3).
        temporal_kernels: Shape (B, R, M, 3).
        places: Which of the S + R outputs each channel is, shape (B, M),
            int64. None for the sum of both operators.

    Returns:
        Shape (B, M, T, H, W).
    """
    batch, channels, *size = z.shape
    flat = z.reshape(1, -1, *size)
    outputs = [
        run(flat, kernels.flatten(0, 1), batch).view(batch, -1, *size)
        for run, kernels in ((spatial, spatial_kernels),
                             (temporal, temporal_kernels))
        if kernels.shape[1]]
    if places is None:
        return sum(outputs)
    return take_rows(torch.cat(outputs, 1), places)


def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """``table[b, rows[b]]`` for each sample b.

    Args:
        table: Shape (B, R, ...).
        rows: Shape (B, K), int64.

    Returns:
        Shape (B, K, ...).
    """
    first = torch.arange(
        rows.shape[0], device=rows.device).unsqueeze(1) * table.shape[1]
    # Whole rows are copied: less than two thirds of an index's time.
    taken = table.flatten(0, 1).index_select(0, (rows + first).flatten())
    return taken.unflatten(0, rows.shape)


def take_of_neurons(table: Tensor, index: Tensor, rows: Tensor) -> Tensor:
    """``table[index[b], rows[b]]`` for each sample b.

    Args:
        table: Shape (N, R, ...).
        index: Selected neurons, shape (B,), int64.
        rows: Shape (B, K) or (K,), int64.

    Returns:
        Shape (B, K, ...).
    """
    rows = index.unsqueeze(1) * table.shape[1] + rows
    taken = table.flatten(0, 1).index_select(0, rows.flatten())
    return taken.unflatten(0, rows.shape)


def padded(count: int, channels: int) -> int:
    """Outputs to compute where ``count`` of at most ``channels`` are needed.

    Convolutions with groups of other sizes take up to three times as long.
    """
    return min(-(-count // BLOCK) * BLOCK, channels)


def opaque(name: str) -> Callable[[Callable[..., Tensor]],
                                  Callable[..., Tensor]]:
    """Decorator: let compiled graphs call a function as one operator.

    It stays as it is otherwise, and where gradients are wanted, which an
    opaque operator has none of: there, graphs break.

    Args:
        name: Of the operator.

    Returns:
        A decorator of a function of features (first argument) and of what
        else custom operators of torch can take, which gives features of the
        same shape and, without autocast, dtype.
    """

    def decorate(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def body(*args: object) -> Tensor:
            # Autocast was dealt with when the graph was made.
            with torch.autocast(args[0].device.type, enabled=False):
                return function(*args).contiguous()

        operator = torch.library.custom_op(
            f'dsts_mmaction::{name}', body, mutates_args=(),
            schema=torch.library.infer_schema(function, mutates_args=()))
        operator.register_fake(lambda z, *args: torch.empty_like(
            z, memory_format=torch.contiguous_format))

        def call(z: Tensor, *args: object) -> Tensor:
            if not torch.compiler.is_compiling() or torch.is_grad_enabled():
                return function(z, *args)
            if torch.is_autocast_enabled(z.device.type):
                z = z.to(torch.get_autocast_dtype(z.device.type))
            return operator(z, *args)

        return call

    return decorate
