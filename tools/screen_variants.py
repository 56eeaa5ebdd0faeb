"""Screen DSTS options on a small TSM, in minutes and on folds of subjects.

A TSM of three residual blocks on 8 gray frames of 36x36, clips kept in
memory: an epoch of 1,500 clips takes half a minute on one CPU core, five
seconds on one that computes in bfloat16. It sorts out ideas; what it finds has
to be confirmed on a recognizer of MMAction2 by tools/benchmark.py.

For each fold, the plain network is trained from scratch on all subjects but
those of the fold. Every variant goes on from its weights, for the same
epochs with the same clips, crops and frames, and is tested on the fold.
Results are kept in OUT/results.jsonl and not computed again; the table shows
means over folds and paired differences to the first variant. A directory
holds runs of the same settings only.
"""
import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import decord
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsts_mmaction.benchmark.data_lists import split_fold  # noqa: E402
from dsts_mmaction.benchmark.error import refuse_twice  # noqa: E402
from dsts_mmaction.benchmark.run_log import RunLog  # noqa: E402
from dsts_mmaction.benchmark.small_tsm import (  # noqa: E402
    BATCH,
    LR,
    Clips,
    SmallTSM,
    build,
    evaluate,
    read_variants,
    train,
)
from dsts_mmaction.benchmark.statistics import Run, paired_difference, spread  # noqa: E402
from dsts_mmaction.benchmark.variants import Variant  # noqa: E402
from dsts_mmaction.utils.annotation_lists import read_list  # noqa: E402
from dsts_mmaction.utils.atomic import write_atomically  # noqa: E402


def read_videos(data_root: Path, lines: list[str]) -> Iterator[np.ndarray]:
    """All frames of each clip of an annotation list."""
    for line in track(lines, description='Reading clips'):
        path = data_root / line.split()[0]
        try:
            reader = decord.VideoReader(str(path))
        except (RuntimeError, decord.DECORDError) as error:
            raise ValueError(f'{path} cannot be read as a video.') from error
        yield reader.get_batch(range(len(reader))).asnumpy()


def run(args: argparse.Namespace, variants: list[Variant],
        log: RunLog) -> None:
    """Compute what ``log`` lacks, and append it."""
    done = {(row['variant'], row['seed']) for row in log.rows}
    lines = [line for name in args.lists
             for line in read_list(str(args.data_root / name))]
    index = {line: i for i, line in enumerate(lines)}
    folds = {}
    for fold in args.folds:
        folds[fold] = [[index[line] for line in part] for part in split_fold(
            lines, args.fold_by, fold, args.num_folds)]
        if len(folds[fold][0]) < BATCH:
            raise ValueError(f'fold {fold} leaves {len(folds[fold][0])} clips '
                             f'to train on, and a batch has {BATCH}.')
    clips = Clips(read_videos(args.data_root, lines),
                  [int(line.split()[-1]) for line in lines])
    num_classes = int(clips.labels.max()) + 1
    for fold, (fitted, tested) in folds.items():
        plain = SmallTSM(num_classes, shifts=args.shifts)
        weights = args.out / f'plain_fold{fold}.pth'
        if weights.exists():
            plain.load_state_dict(torch.load(weights, weights_only=True))
        else:
            torch.manual_seed(fold)
            plain = SmallTSM(num_classes, shifts=args.shifts)
            train(plain, clips, fitted, args.epochs, LR, fold, amp=args.amp)
            with write_atomically(weights, 'wb') as file:
                torch.save(plain.state_dict(), file)
        for variant in variants:
            if (variant.name, fold) in done:
                continue
            torch.manual_seed(fold)
            network = build(num_classes, variant, args.shifts)
            network.load_state_dict(plain.state_dict(), strict=False)
            loss = train(network, clips, fitted, args.extra_epochs, LR / 2,
                         fold, variant.udl, args.amp)
            row = dict(seed=fold, loss=loss,
                       **evaluate(network, clips, tested))
            log.append(variant, row)
            print(f'{variant.name}, fold {fold}: {row["top1"]:.1f}',
                  flush=True)


def settings(args: argparse.Namespace) -> dict[str, object]:
    """What all runs of a directory share."""
    names = ('lists', 'fold_by', 'num_folds', 'epochs', 'extra_epochs',
             'shifts', 'amp')
    return dict(data_root=str(args.data_root.resolve()),
                **{name: getattr(args, name) for name in names})


def show(variants: list[Variant], rows: list[Run]) -> None:
    """Print means over folds and differences to the first variant."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for row in rows:
        runs[row['variant']].append(row)
    first = variants[0].name
    table = Table('Variant', 'Options', 'Folds', 'Top-1', f'vs {first}',
                  '95 % interval', 'Training loss')
    for variant in variants:
        own = runs[variant.name]
        difference = paired_difference(own, runs[first], 'top1')
        if not own or difference is None:
            continue
        low, high = difference.interval or (math.nan, math.nan)
        table.add_row(
            variant.name, variant.title, str(len(own)),
            f'{spread(own, "top1").mean:.1f}', f'{difference.mean:+.1f}',
            f'{low:+.1f} to {high:+.1f}', f'{spread(own, "loss").mean:.3f}')
    Console(width=120).print(table)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Screen DSTS options on a small TSM, on folds of '
        'subjects of a list of short clips.')
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--lists', nargs='+',
                        default=['train.txt', 'val.txt'],
                        help='default: %(default)s')
    parser.add_argument('--fold-by', default=r'_s(\d+)_', metavar='REGEX',
                        help="finds a clip's subject (default: %(default)s)")
    parser.add_argument('--num-folds', type=int, default=5)
    parser.add_argument('--folds', type=int, nargs='+',
                        help='from 1 on (default: all)')
    parser.add_argument('--epochs', type=int, default=24)
    parser.add_argument('--extra-epochs', type=int, default=12)
    parser.add_argument('--out', type=Path,
                        help='default: work_dirs/screening or, with '
                        '--no-shift, work_dirs/screening_tsn')
    parser.add_argument(
        '--no-shift', dest='shifts', action='store_false',
        help='a TSN: the network sees one frame at a time')
    parser.add_argument(
        '--amp', action='store_true', help='train in bfloat16: faster, if '
        'the CPU has instructions for it')
    parser.add_argument(
        '--variants', nargs='+', required=True, metavar='VARIANT',
        help='names of tools/benchmark.py, or NAME:KEY=VALUE,… as there')
    args = parser.parse_args()
    args.folds = args.folds or list(range(1, args.num_folds + 1))
    args.out = args.out or Path(
        'work_dirs', 'screening' if args.shifts else 'screening_tsn')
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    try:
        refuse_twice('--folds', args.folds)
        variants = read_variants(args.variants)
        log = RunLog(args.out, settings(args), variants)
        run(args, variants, log)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    show(variants, log.rows)


if __name__ == '__main__':
    main()
