"""How backbones lay out their features, and the way to (B, C, T, H, W).

The one place that knows:

- Recognizer2D's backbones fold time into the batch: ``(B * T, C, H, W)``.
- Recognizer3D's backbones return ``(B, C, T, H, W)``.
- SlowFast returns a tuple of two such maps.

Views (clips and crops of one video) are further entries of B.
"""
from typing import Any

from torch import Tensor


def to_clips(features: Tensor, num_frames: int | None,
             backbone: str) -> Tensor:
    """Lay a feature map out as (B, C, T, H, W), one entry of B per view.

    Args:
        features: Shape (B, C, T, H, W) or (B * T, C, H, W).
        num_frames: Frames T of one view, for the folded layout.
        backbone: Name for the error message.

    Raises:
        ValueError: Another layout, or a batch that is not made of whole
            views.
    """
    if isinstance(features, Tensor) and features.dim() == 5:
        return features
    if not isinstance(features, Tensor) or features.dim() != 4:
        raise ValueError(
            f'The features of backbone {backbone} have a layout that DSTS '
            f'does not know: {describe(features)}; known are (B*T, C, H, W), '
            '(B, C, T, H, W) and a tuple of such maps, one per pathway.')
    if num_frames is None:
        raise ValueError(
            f'The features of backbone {backbone} have time folded into the '
            f'batch, {describe(features)}, and the wrapped head does not say '
            'how many frames a view has: set num_segments (and '
            'test_num_segments, if it differs) of DSTSHead.')
    # Not len(): with it, torch.export would fix the batch size.
    if features.shape[0] % num_frames:
        raise ValueError(
            f'The features of backbone {backbone}, {describe(features)}, are '
            f'not made of whole views of {num_frames} frames: check '
            'num_segments.')
    return features.unflatten(0, (-1, num_frames)).transpose(1, 2)


def from_clips(clips: Tensor, like: Tensor) -> Tensor:
    """Lay (B, C, T, H, W) out as ``like`` was given to :func:`to_clips`."""
    if like.dim() == 5:
        return clips
    return clips.transpose(1, 2).flatten(0, 1)


def describe(features: Any) -> str:
    """Nested shapes of a backbone's output, for error messages."""
    if isinstance(features, Tensor):
        return f'shape {tuple(features.shape)}'
    if isinstance(features, (list, tuple)):
        parts: list[str] = [describe(each) for each in features]
        return f'{type(features).__name__} of ({", ".join(parts)})'
    return type(features).__name__
