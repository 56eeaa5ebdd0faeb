"""Upstream-Downstream Learning, steps 1 and 2: the hyper-gradient.

The DSTS paper (arXiv 2209.01425) trains the parameters that decide (upstream,
``u``) apart from those they decide about (downstream, ``d``); the steps, on
disjoint training samples, are ours::

    1. simulate   d'(u) = d - a * grad_d loss(u, d; D_tr)
    2. upstream   step u on  grad_u loss(u, d'(u); D_val)
    3. downstream an ordinary step on d, u fixed           (not in this file)

Nothing is written to the model: parameters go into the loss as arguments.
"""
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

Samples = TypeVar('Samples')
Parameters = dict[str, Tensor]


class HyperGradient(NamedTuple):
    """What :func:`hyper_gradient` returns.

    Attributes:
        gradients: One per upstream parameter, in order, same shape and dtype.
        loss: Loss on the held-out samples after the simulated step, a scalar
            without a graph.
    """
    gradients: tuple[Tensor, ...]
    loss: Tensor


def hyper_gradient(loss: Callable[[Parameters, Samples], Tensor],
                   upstream: Parameters,
                   downstream: Parameters,
                   simulated_on: Samples,
                   held_out: Samples,
                   inner_lr: float,
                   order: int = 2,
                   loss_scale: float = 1.0) -> HyperGradient:
    """Gradient of the held-out loss after a simulated downstream step.

    Args:
        loss: Training loss on some samples as a function of the upstream and
            downstream parameters, by name; a scalar.
        upstream: Parameters u, which require gradients.
        downstream: Parameters d that the simulated step moves, which require
            gradients.
        simulated_on: Samples ``D_tr`` of the simulated step.
        held_out: Samples ``D_val``.
        inner_lr: Learning rate ``a`` of the simulated step.
        order: 2 differentiates through the simulated step, by double
            backward (exact); 1 takes ``d'`` for a constant.
        loss_scale: Both losses are multiplied by it before they are
            differentiated and the gradients divided by it, so that those of
            half-precision intermediates do not underflow.
    """
    first = loss({**upstream, **downstream}, simulated_on)
    gradients = _gradients(first, downstream, loss_scale, order == 2)
    simulated = {
        name: parameter - inner_lr * gradient
        for (name, parameter), gradient in zip(downstream.items(), gradients)
    }
    if order == 1:
        simulated = {name: d.detach() for name, d in simulated.items()}
    second = loss({**upstream, **simulated}, held_out)
    gradients = _gradients(second, upstream, loss_scale, False)
    return HyperGradient(gradients, second.detach())


def _gradients(loss: Tensor, parameters: Parameters, loss_scale: float,
               create_graph: bool) -> tuple[Tensor, ...]:
    gradients = torch.autograd.grad(
        loss * loss_scale,
        list(parameters.values()),
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True)
    if loss_scale == 1:
        return gradients
    return tuple(gradient / loss_scale for gradient in gradients)
