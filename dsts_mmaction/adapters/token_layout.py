"""Tokens of video transformers, and the way to (B, C, T, H, W)."""
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ORDERS = ('thw', 'hwt')


@dataclass(frozen=True)
class TokenLayout:
    """How a transformer's layer lays out what it gives.

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
        if not isinstance(self.class_tokens, int) or self.class_tokens < 0:
            raise ValueError('tokens.class_tokens must be an integer of 0 or '
                             f'more, got {self.class_tokens!r}.')

    def to_clips(self, tokens: Tensor, layer: str,
                 grid: Sequence[int] | None = None) -> Tensor:
        """Lay tokens out as a map, without the class tokens.

        Args:
            tokens: Shape (B, tokens, C); (B * T, tokens, C) where every
                frame has tokens of its own.
            layer: Name of the layer, for the error message.
            grid: As the layer says. Defaults to the configured one.

        Returns:
            Shape (B, C, T, H, W).

        Raises:
            ValueError: The tokens do not make up the grid.
        """
        time, height, width = self._grid(grid, layer)
        if self.sequence_first:
            tokens = tokens.transpose(0, 1)
        places = tokens[:, self.class_tokens:]
        if (places.shape[1] == height * width
                and places.shape[0] % time == 0):
            # Also where a clip has one token in time.
            return places.unflatten(1, (height, width)).unflatten(
                0, (-1, time)).permute(0, 4, 1, 2, 3)
        if places.shape[1] != time * height * width:
            raise ValueError(
                f'layer {layer!r} gives tokens of shape '
                f'{tuple(tokens.shape)}, of which {places.shape[1]} are no '
                f'class tokens: tokens.grid={(time, height, width)} does not '
                'fit.')
        if self.order == 'hwt':
            return places.unflatten(1, (height, width, time)).permute(
                0, 4, 3, 1, 2)
        return places.unflatten(1, (time, height, width)).permute(
            0, 4, 1, 2, 3)

    def from_clips(self, clips: Tensor, like: Tensor) -> Tensor:
        """Lay a map out as ``like`` was given to :meth:`to_clips`."""
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
