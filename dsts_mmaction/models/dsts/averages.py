"""Averages of features, normalised: what synapses and readout look at."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32, or the type itself where it is wider."""
    return torch.promote_types(dtype, torch.float32)


def normalize(x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Batch norm, by the running statistics if there is one sample only.

    A single sample has no spread of its own: its average would become zero.

    Args:
        x: Shape (B, M) or (B, M, T), float32 or wider.
        norm: Without affine parameters.

    Returns:
        Shape and dtype of ``x``.
    """
    if norm.training and len(x) > 1:
        # Statistics of a module cast to half precision are in it as well.
        return norm(x.to(norm.running_mean.dtype)).to(x.dtype)
    return F.batch_norm(x, norm.running_mean.to(x.dtype),
                        norm.running_var.to(x.dtype), eps=norm.eps)
