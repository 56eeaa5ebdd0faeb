"""Reduce a specialized checkpoint to one of the plain recognizer."""
from pathlib import Path

import torch

from ..adapters.specialized import plain_state_dict
from ..utils.atomic import write_atomically
from ..utils.checkpoints import read_checkpoint

# Of EMAHook.
AVERAGED = 'ema_state_dict'


def unspecialize(checkpoint: Path, out: Path, force: bool = False) -> int:
    """Write the plain checkpoint, without the optimizers' states.

    Args:
        checkpoint: Of a specialized recognizer.
        out: File to write.
        force: Whether a file that exists may be replaced.

    Returns:
        How many tensors were left out.

    Raises:
        ValueError: The checkpoint is not that of a specialized recognizer.
        OSError: A file that cannot be read or is in the way.
    """
    if out.exists() and not force:
        raise FileExistsError(f'{out} exists: give --force to replace it.')
    loaded = read_checkpoint(checkpoint)
    plain = {key: plain_state_dict(loaded[key])
             for key in ('state_dict', AVERAGED) if key in loaded}
    # The config in it is that of the specialized recognizer.
    plain['meta'] = {key: value
                     for key, value in loaded.get('meta', {}).items()
                     if key != 'cfg'}
    with write_atomically(out, 'wb') as file:
        torch.save(plain, file)
    return len(loaded['state_dict']) - len(plain['state_dict'])
