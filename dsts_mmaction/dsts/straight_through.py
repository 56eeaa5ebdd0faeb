"""Straight-through Gumbel-softmax (Jang et al., 2017, arXiv 1611.01144).

The value is a hard one-hot vector, the gradient is that of the softmax. The
noise is an argument, not a side effect, so that a caller can draw it once
and run the same stochastic forward again.
"""
import torch
import torch.nn.functional as F
from torch import Tensor


def sample_gumbel(shape: tuple[int, ...],
                  device: torch.device,
                  dtype: torch.dtype,
                  generator: torch.Generator | None = None) -> Tensor:
    """Draw standard Gumbel noise of the given shape.

    Args:
        shape: Shape of the noise.
        device: Device it is drawn on.
        dtype: A floating point type.
        generator: Random stream to draw from. Defaults to torch's own.
    """
    noise = torch.empty(shape, device=device, dtype=dtype)
    return -noise.exponential_(generator=generator).log()


def straight_through_one_hot(logits: Tensor, noise: Tensor | None,
                             temperature: float) -> tuple[Tensor, Tensor]:
    """Choose one entry of the last axis; differentiate as if it were soft.

    Args:
        logits: Shape (..., K).
        noise: Gumbel noise, same shape; None for none.
        temperature: Of the softmax, positive. The lower it is, the closer
            the gradient comes to that of the hard choice.

    Returns:
        The one-hot choice, shape (..., K), whose value is exactly 0 or 1 and
        whose gradient is that of ``softmax((logits + noise) / temperature)``,
        and the index of the choice, shape (...), int64.
    """
    if noise is not None:
        logits = logits + noise
    index = logits.argmax(dim=-1)
    soft = F.softmax(logits / temperature, dim=-1)
    hard = F.one_hot(index, logits.shape[-1]).to(soft.dtype)
    # soft - soft.detach() is exactly zero, so the sum is exactly one-hot;
    # hard + soft - soft.detach() would leave rounding behind.
    return hard + (soft - soft.detach()), index
