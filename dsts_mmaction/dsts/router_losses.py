"""Auxiliary losses that keep a layer's neurons from collapsing onto one."""
import torch
import torch.nn.functional as F
from torch import Tensor


def balance_loss(scores: Tensor, index: Tensor) -> Tensor:
    """``N * sum_n f_n * P_n``: 1 when balanced, up to N when collapsed.

    The form is that of Switch Transformers (arXiv 2101.03961, section 2.2):
    f is the fraction of samples routed to a neuron, P the mean probability
    it gets. P comes from the noise-free scores of the same call.

    Args:
        scores: Router scores, shape (B, N).
        index: Selected neurons, shape (B,), int64.
    """
    num_neurons = scores.shape[1]
    routed = F.one_hot(index, num_neurons).to(scores.dtype).mean(dim=0)
    probability = F.softmax(scores, dim=1).mean(dim=0)
    return num_neurons * (routed * probability).sum()


def router_z_loss(scores: Tensor) -> Tensor:
    """Mean squared log-partition of the scores (ST-MoE, arXiv 2202.08906).

    Keeps router scores from growing without bound.

    Args:
        scores: Router scores, shape (B, N).
    """
    return torch.logsumexp(scores, dim=1).square().mean()
