"""How backbones lay out what they give, and the way to (B, C, T, H, W).

The one place that knows:

- Recognizer2D's backbones fold time into the batch: ``(B * T, C, H, W)``.
- Recognizer3D's backbones give ``(B, C, T, H, W)``.
- Backbones with several pathways give a sequence of such maps.
- Layers of transformers give tokens, or maps with the channels last.

Views (clips and crops of one video) are further entries of B.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..utils.checks import check_count

#: A map, or one for each pathway.
Features = Tensor | Sequence[Tensor]

ORDERS = ('thw', 'hwt')


def map_features(function: Callable[[Tensor], Tensor],
                 features: Features) -> Features:
    """Apply a function to a map, or to that of each pathway."""
    if isinstance(features, Tensor):
        return function(features)
    return type(features)(function(each) for each in features)


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


@dataclass(frozen=True)
class TokenLayout:
    """How a layer of a transformer lays out what it gives.

    Args:
        grid: Tokens along time, height and width, as many as a clip has.
            None where the layer says so itself, as MViT's do.
        order: In which order they follow each other, the last one fastest:
            ``'thw'`` or, for TimeSformer, ``'hwt'``.
        class_tokens: How many tokens come before them; they stay as they
            are.
        sequence_first: Whether the shape is (tokens, B, C) instead of
            (B, tokens, C).
        channels_last: Whether the layer gives no tokens but maps of shape
            (B, H, W, C).

    Raises:
        ValueError: An option is not allowed.
    """
    grid: Sequence[int] | None = None
    order: str = 'thw'
    class_tokens: int = 0
    sequence_first: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.grid is not None and (
                len(self.grid) != 3
                or any(not isinstance(size, int) or size < 1
                       for size in self.grid)):
            raise ValueError('tokens.grid must be three positive integers, '
                             f'for T, H and W, got {self.grid!r}.')
        if self.order not in ORDERS:
            raise ValueError(f'tokens.order must be one of '
                             f'{", ".join(ORDERS)}, got {self.order!r}.')
        check_count('tokens.class_tokens', self.class_tokens, 0)

    def to_clips(self, output: Tensor, layer: str,
                 grid: Sequence[int] | None = None,
                 num_frames: int | None = None) -> Tensor:
        """Lay what a layer gives out as a map, without the class tokens.

        Args:
            output: Tokens, shape (B, tokens, C), (B * T, tokens, C) where
                every frame has tokens of its own; or a map.
            layer: Name of the layer, for error messages.
            grid: As the layer says. Defaults to the configured one.
            num_frames: Frames of one view, for maps with time in the batch.

        Returns:
            Shape (B, C, T, H, W).

        Raises:
            ValueError: The tokens do not make up the grid.
        """
        if output.dim() != 3:
            if self.channels_last:
                output = output.movedim(-1, 1)
            return to_clips(output, num_frames, f'layer {layer!r}')
        time, height, width = self._grid(grid, layer)
        if self.sequence_first:
            output = output.transpose(0, 1)
        places = output[:, self.class_tokens:]
        if (places.shape[1] == height * width
                and places.shape[0] % time == 0):
            # Also where a clip has one token in time.
            return places.unflatten(1, (height, width)).unflatten(
                0, (-1, time)).permute(0, 4, 1, 2, 3)
        if places.shape[1] != time * height * width:
            raise ValueError(
                f'layer {layer!r} gives tokens of shape '
                f'{tuple(output.shape)}, of which {places.shape[1]} are no '
                f'class tokens: tokens.grid={(time, height, width)} does not '
                'fit.')
        if self.order == 'hwt':
            return places.unflatten(1, (height, width, time)).permute(
                0, 4, 3, 1, 2)
        return places.unflatten(1, (time, height, width)).permute(
            0, 4, 1, 2, 3)

    def from_clips(self, clips: Tensor, like: Tensor) -> Tensor:
        """Lay a map out as ``like`` was given to :meth:`to_clips`."""
        if like.dim() != 3:
            output = from_clips(clips, like)
            return output.movedim(1, -1) if self.channels_last else output
        if self.sequence_first:
            like = like.transpose(0, 1)
        count = like.shape[1] - self.class_tokens
        folded = count == clips.shape[3] * clips.shape[4]
        if self.order == 'hwt' and not folded:
            places = clips.permute(0, 3, 4, 2, 1)
        else:
            places = clips.permute(0, 2, 3, 4, 1)
        places = places.reshape(like.shape[0], count, -1)
        tokens = torch.cat([like[:, :self.class_tokens], places], 1)
        return tokens.transpose(0, 1) if self.sequence_first else tokens

    def _grid(self, grid: Sequence[int] | None,
              layer: str) -> tuple[int, int, int]:
        found = self.grid if grid is None else grid
        if found is None:
            raise ValueError(f'layer {layer!r} gives tokens and not their '
                             'grid: set tokens=dict(grid=(T, H, W)) of '
                             'DSTSHead.')
        return tuple(found)


def describe(features: Any) -> str:
    """Nested shapes of a backbone's output, for error messages."""
    if isinstance(features, Tensor):
        return f'shape {tuple(features.shape)}'
    if isinstance(features, (list, tuple)):
        parts = [describe(each) for each in features]
        return f'{type(features).__name__} of ({", ".join(parts)})'
    return type(features).__name__
