"""Reduce a specialized checkpoint to one of the plain recognizer.

What DSTS has learned is left out; the backbone and the head stay as they
were trained with it, so predictions change. Optimizer states are left out as
well: the checkpoint is for load_from, tests and inference.
"""
import argparse
import sys
from pathlib import Path

import torch

import dsts_mmaction  # noqa: F401, lets torch read MMEngine's checkpoints
from dsts_mmaction.adapters.plain_view import plain_state_dict
from dsts_mmaction.utils.atomic import write_atomically
from dsts_mmaction.utils.checkpoints import read_checkpoint

AVERAGED = 'ema_state_dict'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Reduce a specialized checkpoint to one of the plain '
        'recognizer, which its own config loads.')
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--force', action='store_true',
                        help='replace an existing file')
    return parser.parse_args()


def unspecialize(checkpoint: Path, out: Path, force: bool = False) -> int:
    """Write the plain checkpoint.

    Returns:
        How many tensors were left out.

    Raises:
        ValueError: The checkpoint is not that of a specialized recognizer.
        OSError: A file that cannot be read or is in the way.
    """
    if out.exists() and not force:
        raise FileExistsError(f'{out} exists: give --force to replace it.')
    loaded = read_checkpoint(checkpoint)
    plain = dict(state_dict=plain_state_dict(loaded['state_dict']))
    if AVERAGED in loaded:
        plain[AVERAGED] = plain_state_dict(loaded[AVERAGED])
    # The config in it is that of the specialized recognizer.
    plain['meta'] = {key: value
                     for key, value in loaded.get('meta', {}).items()
                     if key != 'cfg'}
    with write_atomically(out, 'wb') as file:
        torch.save(plain, file)
    return len(loaded['state_dict']) - len(plain['state_dict'])


def main() -> None:
    args = parse_args()
    try:
        count = unspecialize(args.checkpoint, args.out, args.force)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'Written: {args.out}, without {count} tensors of DSTS.')


if __name__ == '__main__':
    main()
