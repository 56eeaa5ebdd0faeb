"""Each sample through the neuron that was chosen for it, and no other.

Which neurons run is read from a tensor, which breaks a graph of
``torch.compile``. So a compiled graph calls the whole dispatch as one opaque
operator, which runs what runs without a graph. Source: ours.
"""
from typing import Callable

import torch
from torch import Tensor

# torch 2.4 brought it; before, graphs break.
_HAS_OPERATORS = hasattr(torch.library, 'custom_op')


def is_compiling() -> bool:
    """Whether ``torch.compile`` is tracing; False where it cannot tell."""
    return hasattr(torch.compiler, 'is_compiling') \
        and torch.compiler.is_compiling()


def run_by_neuron(z: Tensor, index: Tensor,
                  run: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Run the samples that chose the same neuron together.

    Args:
        z: Features, shape (B, ...).
        index: Selected neurons, shape (B,), int64.
        run: Gives the output of a neuron for some of the samples.

    Returns:
        The outputs in the order of the samples.
    """
    chosen = index.tolist()
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
        if not _HAS_OPERATORS:
            return function

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
            if not is_compiling() or torch.is_grad_enabled():
                return function(z, *args)
            if torch.is_autocast_enabled(z.device.type):
                z = z.to(torch.get_autocast_dtype(z.device.type))
            return operator(z, *args)

        return call

    return decorate
