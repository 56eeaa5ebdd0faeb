"""Reading checkpoints, without trust."""
import pickle
import struct
from pathlib import Path
from typing import Any

import torch


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint, on the CPU, with a ``state_dict``.

    Args:
        path: A file of MMEngine's or of a state dict alone.

    Raises:
        ValueError: It is no checkpoint that torch reads without running
            code.
        OSError: It cannot be read.
    """
    try:
        loaded = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError,
            struct.error) as error:
        raise ValueError(f'{path} is no checkpoint that torch can read: '
                         f'{first_line(error)}') from error
    if not isinstance(loaded, dict):
        raise ValueError(f'{path} is no checkpoint: it holds a '
                         f'{type(loaded).__name__}.')
    return loaded if 'state_dict' in loaded else dict(state_dict=loaded)


def unwrapped(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict by the names of the model itself.

    Args:
        state: Of the model, or of its wrapper for distributed training.
    """
    return {name.removeprefix('module.'): value
            for name, value in state.items()}


def first_line(error: BaseException) -> str:
    """What an error says, without the pages that torch adds."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
