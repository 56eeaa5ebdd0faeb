"""Mix the kernels of all neurons, at the cost of the ones that fired.

A neuron is linear in its kernels, so instead of running N neurons and mixing
their outputs, mix their kernels and run one convolution per sample (ours)::

    mixed[b, c] = sum_n weights[b, n, c] * kernels[n, c]

The weights are straight-through: in value all but the selected neuron's are
zero, in gradient none are. So the forward only gathers the selected kernels,
and the backward adds the products of each sample's kernel gradient with every
kernel. What still grows with N is that product and the dense gradient of all
kernels, both small beside the convolution until N and C are large.

With ``F(w, k, g) = sum_{b,n,c} w[b,n,c] <k[n,c], g[b,c]>`` the functions here
are its three partial derivatives: ``_MixKernels`` (by g), ``_Scatter`` (by k)
and ``_Score`` (by w). The backward of each is made of operations that can be
differentiated, so all can be, any number of times.
"""
from typing import Any

import torch
from torch import Tensor


def mix_kernels(weights: Tensor, private: Tensor, shared: Tensor,
                index: Tensor) -> Tensor:
    """Mix the neurons' kernels ``shared + private[n]`` by routing weights.

    Args:
        weights: Shape (B, N, C), zero in value wherever n is not
            ``index[b]``. The caller's promise: it is not checked.
        private: The part of each neuron's own, shape (N, C, ...).
        shared: The part that all have, shape (C, ...).
        index: The selected neuron of each sample, shape (B,), int64.

    Returns:
        The mixed kernels, shape (B, C, ...), dtype of ``private``. The
        gradient for ``weights`` covers all N neurons. Differentiable any
        number of times.
    """
    mixed = _MixKernels.apply(weights, private.flatten(2), index)
    # sum_n w_n (s + p_n) = (sum_n w_n) s + sum_n w_n p_n
    total = weights.sum(1).unsqueeze(-1).to(mixed.dtype)
    mixed = torch.addcmul(mixed, total, shared.flatten(1))
    return mixed.unflatten(2, private.shape[2:])


class _SavesInputs(torch.autograd.Function):

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)


class _MixKernels(_SavesInputs):

    @staticmethod
    def forward(weights: Tensor, kernels: Tensor, index: Tensor) -> Tensor:
        selected = _selected(weights, index).to(kernels.dtype)
        return kernels[index].mul_(selected)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, kernels, index = ctx.saved_tensors
        grad_weights = grad_kernels = None
        if ctx.needs_input_grad[0]:
            grad_weights = _Score.apply(grad, kernels).to(weights.dtype)
        if ctx.needs_input_grad[1]:
            grad_kernels = _Scatter.apply(weights, grad, index)
        return grad_weights, grad_kernels, None


class _Scatter(_SavesInputs):
    """(B, N, C) weights and (B, C, D) gradients to (N, C, D)."""

    @staticmethod
    def forward(weights: Tensor, grad: Tensor, index: Tensor) -> Tensor:
        out = grad.new_zeros((weights.shape[1], ) + grad.shape[1:])
        selected = _selected(weights, index).to(grad.dtype)
        return out.index_add_(0, index, selected * grad)

    @staticmethod
    def backward(ctx: Any,
                 grad_out: Tensor) -> tuple[Tensor | None, ...]:
        weights, grad, index = ctx.saved_tensors
        grad_weights = grad_grad = None
        if ctx.needs_input_grad[0]:
            grad_weights = _Score.apply(grad, grad_out).to(weights.dtype)
        if ctx.needs_input_grad[1]:
            grad_grad = _MixKernels.apply(weights, grad_out, index)
        return grad_weights, grad_grad, None


class _Score(_SavesInputs):
    """(B, C, D) gradients against (N, C, D) kernels to (B, N, C)."""

    @staticmethod
    def forward(grad: Tensor, kernels: Tensor) -> Tensor:
        # Outside autocast: these products train the synapses, and bfloat16
        # would drown small differences between neurons.
        with torch.autocast(grad.device.type, enabled=False):
            products = torch.bmm(
                grad.transpose(0, 1), kernels.permute(1, 2, 0))
        return products.permute(1, 2, 0)

    @staticmethod
    def backward(ctx: Any,
                 grad_out: Tensor) -> tuple[Tensor | None, ...]:
        grad, kernels = ctx.saved_tensors
        grad_grad = grad_kernels = None
        with torch.autocast(grad.device.type, enabled=False):
            # As it comes, no axis of a matrix is dense, and the products run
            # ten times slower on the CPU.
            scores = grad_out.permute(2, 0, 1).contiguous()
            if ctx.needs_input_grad[0]:
                grad_grad = torch.bmm(
                    scores, kernels.transpose(0, 1)).transpose(0, 1)
            if ctx.needs_input_grad[1]:
                grad_kernels = torch.bmm(
                    scores.transpose(1, 2),
                    grad.transpose(0, 1)).transpose(0, 1)
        return grad_grad, grad_kernels


def _selected(weights: Tensor, index: Tensor) -> Tensor:
    """The selected neuron's weights, (B, C, 1)."""
    batch = torch.arange(len(index), device=index.device)
    return weights[batch, index].unsqueeze(-1)
