"""Reduce a specialized checkpoint to one of the plain recognizer.

What DSTS has learned is left out; the backbone and the head stay as they
were trained with it, so predictions change. Optimizer states are left out as
well: the checkpoint is for load_from, tests and inference.
"""
import argparse
import sys
from pathlib import Path

import dsts_mmaction  # noqa: F401, lets torch read MMEngine's checkpoints
from dsts_mmaction.tailor.unspecialize import unspecialize


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Reduce a specialized checkpoint to one of the plain '
        'recognizer, which its own config loads.')
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('out', type=Path)
    parser.add_argument('--force', action='store_true',
                        help='replace an existing file')
    args = parser.parse_args()
    try:
        count = unspecialize(args.checkpoint, args.out, args.force)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'Written: {args.out}, without {count} tensors of DSTS.')


if __name__ == '__main__':
    main()
