"""Write the deployed form of a specialized recognizer.

    python tools/deploy.py CONFIG CHECKPOINT --out work_dirs/deployed

Norms and gates are folded into the kernels they decide about. Written are a
checkpoint with the config that loads it, ONNX and a torch.export program,
after their predictions were compared with the trained model's.
"""
import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table

import dsts_mmaction  # noqa: F401, makes the hosts usable
from dsts_mmaction.deploy.deploy import deploy


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write the deployed form of a specialized recognizer.')
    parser.add_argument('config', metavar='CONFIG',
                        help='config of the specialized recognizer')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=Path)
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder to write into')
    parser.add_argument('--clips', type=int, default=4, metavar='N',
                        help='clips of the test set to compare predictions '
                        'on (default: %(default)s)')
    parser.add_argument('--no-onnx', action='store_true',
                        help='write no ONNX file')
    parser.add_argument('--no-export', action='store_true',
                        help='write no torch.export program')
    parser.add_argument('--force', action='store_true',
                        help='replace existing files')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        metavar='KEY=VALUE',
                        help='change options of the config, such as '
                        'test_dataloader.dataset.data_root=…')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    init_default_scope('mmaction')
    try:
        written = deploy(
            args.config, args.checkpoint, args.out, args.clips,
            onnx=not args.no_onnx, program=not args.no_export,
            force=args.force, cfg_options=args.cfg_options)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    table = Table('MB', 'largest difference', 'same routing')
    table.add_column('file', overflow='fold')
    for path, difference in written:
        size = f'{path.stat().st_size / 1e6:.2f}'
        if difference is None:
            table.add_row(size, '', '', path.name)
        else:
            table.add_row(size, f'{difference.scores:.1e}',
                          f'{difference.same}/{difference.choices}',
                          path.name)
    console = Console(highlight=False)
    console.print(table)
    console.print(f'Written into {args.out}', soft_wrap=True)


if __name__ == '__main__':
    main()
