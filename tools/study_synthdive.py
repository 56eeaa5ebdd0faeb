"""When does specialization pay? A study on SynthDive, as large as wished.

Trains a small TSM (or TSN) from scratch on rendered divers, with DSTS and with
the unspecialized control of the same compute, for the same iterations with the
same clips, crops and frames. Two axes cross at the first value of each:
training clips per class, and numbers of classes, all of which have
look-alikes: 6 classes (2 directions, 3 positions) for each number of
somersaults.

Results are kept in OUT/results.jsonl and not computed again; a directory holds
runs of the same settings only. OUT/study.png shows the gain over the control
along both axes, mean over seeds with 95 % t-interval; OUT/study.md is the
table behind it.
"""
import argparse
import sys
from collections import defaultdict
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsts_mmaction.benchmark.error import refuse_twice  # noqa: E402
from dsts_mmaction.benchmark.plots import save  # noqa: E402
from dsts_mmaction.benchmark.run_log import RunLog  # noqa: E402
from dsts_mmaction.benchmark.small_tsm import (  # noqa: E402
    BATCH,
    LR,
    Clips,
    build,
    evaluate,
    read_variants,
    train,
)
from dsts_mmaction.benchmark.statistics import Run, paired_difference, spread  # noqa: E402
from dsts_mmaction.benchmark.variants import Variant  # noqa: E402
from dsts_mmaction.datasets import SynthDiveConfig, render_clip, sample_clip  # noqa: E402
from dsts_mmaction.utils.atomic import write_text  # noqa: E402
from dsts_mmaction.utils.markdown import markdown_table  # noqa: E402

CONTROL = 'control_compute'
# Numbers of somersaults, from the easiest to tell apart on.
SOMERSAULTS = (0.5, 1.5, 1.0, 2.0, 0.75, 1.25, 1.75, 0.25)
CLASSES_PER_NUMBER = 6


class Cell(NamedTuple):
    """One training set: classes, and training clips of each."""
    num_classes: int
    clips_per_class: int


def cells(num_classes: list[int], clips_per_class: list[int]) -> list[Cell]:
    """Both axes, crossing at their first values."""
    every = [Cell(num_classes[0], count) for count in clips_per_class]
    every += [Cell(count, clips_per_class[0]) for count in num_classes[1:]]
    return every


def dataset(num_classes: int, difficulty: str, seed: int) -> SynthDiveConfig:
    """A SynthDive of so many classes."""
    return SynthDiveConfig(
        size=64, difficulty=difficulty, seed=seed,
        somersaults=SOMERSAULTS[:num_classes // CLASSES_PER_NUMBER])


def render(config: SynthDiveConfig, clip: tuple[str, int]) -> np.ndarray:
    """Frames of one clip, given as split and index."""
    return render_clip(sample_clip(config, *clip), config.size)


def read_clips(config: SynthDiveConfig, num_train: int,
               num_test: int) -> Clips:
    """Training clips first, then test clips."""
    order = [(split, index) for split, count in (
        ('train', num_train), ('test', num_test)) for index in range(count)]
    labels = [sample_clip(config, split, index).label
              for split, index in order]
    with Pool() as pool:
        return Clips(pool.imap(partial(render, config), order, 16), labels)


def run(args: argparse.Namespace, variants: list[Variant],
        log: RunLog) -> None:
    """Compute what ``log`` lacks, and append it."""
    done = {(_cell(row), row['variant'], row['seed']) for row in log.rows}
    largest: dict[int, int] = {}
    for cell in cells(args.num_classes, args.clips_per_class):
        largest[cell.num_classes] = max(
            largest.get(cell.num_classes, 0),
            cell.num_classes * cell.clips_per_class)
    for seed in args.seeds:
        for num_classes, num_train in largest.items():
            config = dataset(num_classes, args.difficulty, seed)
            missing = [
                (cell, variant)
                for cell in cells(args.num_classes, args.clips_per_class)
                if cell.num_classes == num_classes for variant in variants
                if (cell, variant.name, seed) not in done]
            if not missing:
                continue
            clips = read_clips(config, num_train, args.num_test)
            tested = list(range(num_train, num_train + args.num_test))
            for cell, variant in missing:
                # Clips of all classes alternate.
                fitted = list(range(num_classes * cell.clips_per_class))
                epochs = max(1, round(args.iterations * BATCH / len(fitted)))
                torch.manual_seed(seed)
                network = build(num_classes, variant, args.shifts)
                loss = train(network, clips, fitted, epochs, LR, seed,
                             variant.udl, args.amp)
                row = dict(**cell._asdict(), seed=seed, loss=loss,
                           **evaluate(network, clips, tested))
                log.append(variant, row)
                print(f'{cell.num_classes} classes, {cell.clips_per_class} '
                      f'clips each, {variant.name}, seed {seed}: '
                      f'{row["top1"]:.1f}', flush=True)


def _cell(row: Run) -> Cell:
    return Cell(row['num_classes'], row['clips_per_class'])


def table(cell_list: list[Cell], variants: list[Variant],
          runs: dict[tuple[Cell, str], list[Run]]) -> str:
    """Accuracies and gains over the control, in Markdown."""
    others = [variant for variant in variants if variant.name != CONTROL]
    rows = [['Classes', 'Training clips per class',
             *(f'`{v.name}`' for v in variants),
             *(f'`{v.name}` minus control' for v in others)]]
    for cell in cell_list:
        row = [str(cell.num_classes), str(cell.clips_per_class)]
        for variant in variants:
            found = spread(runs[cell, variant.name], 'top1')
            row.append('–' if found is None else f'{found.mean:.1f}' + (
                '' if found.std is None else f' ± {found.std:.1f}'))
        for variant in others:
            gain = paired_difference(runs[cell, variant.name],
                                     runs[cell, CONTROL], 'top1')
            row.append('–' if gain is None else f'{gain.mean:+.1f}' + (
                '' if gain.interval is None else
                ' ({:+.1f} to {:+.1f})'.format(*gain.interval)))
        rows.append(row)
    return markdown_table(rows)


def draw(args: argparse.Namespace, variants: list[Variant],
         runs: dict[tuple[Cell, str], list[Run]]) -> Figure:
    """Gain over the control along both axes."""
    figure = Figure(figsize=(8, 3.2), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    left.set_xscale('log')  # before its ticks are set
    _draw_axis(left, variants, runs, [
        (count, Cell(args.num_classes[0], count))
        for count in sorted(args.clips_per_class)])
    _draw_axis(right, variants, runs, [
        (count, Cell(count, args.clips_per_class[0]))
        for count in sorted(args.num_classes)])
    left.set_title(f'{args.num_classes[0]} classes', fontsize=9)
    left.set_xlabel('Training clips per class')
    left.set_ylabel('Top-1 minus that of the control')
    right.set_title(f'{args.clips_per_class[0]} training clips per class',
                    fontsize=9)
    right.set_xlabel('Classes')
    right.legend(fontsize=8)
    host = 'TSM' if args.shifts else 'TSN'
    figure.suptitle(f'Small {host} on SynthDive ({args.difficulty}), mean '
                    'over seeds, 95 % t-interval', fontsize=9)
    return figure


def _draw_axis(axes: Axes, variants: list[Variant],
               runs: dict[tuple[Cell, str], list[Run]],
               points: list[tuple[int, Cell]]) -> None:
    others = [variant for variant in variants if variant.name != CONTROL]
    for i, variant in enumerate(others):
        found = [(x, paired_difference(runs[cell, variant.name],
                                       runs[cell, CONTROL], 'top1'))
                 for x, cell in points]
        known = [(x, gain) for x, gain in found if gain is not None]
        # Side by side, so that intervals can be told apart.
        places = [x * (1 + 0.04 * i) for x, _ in known]
        means = [gain.mean for _, gain in known]
        low, high = zip(*((gain.interval or (gain.mean, gain.mean))
                          for _, gain in known)) if known else ((), ())
        axes.errorbar(places, means, label=variant.title, marker='o',
                      capsize=3, yerr=[np.subtract(means, low),
                                       np.subtract(high, means)])
    ticks = [x for x, _ in points]
    axes.axhline(0, color='black', linewidth=0.8)
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Gain of DSTS over the unspecialized control on '
        'SynthDive, by clips per class and number of classes.')
    parser.add_argument('--out', type=Path,
                        help='default: work_dirs/study or, with --no-shift, '
                        'work_dirs/study_tsn')
    parser.add_argument(
        '--num-classes', type=int, nargs='+', default=[12, 6, 24],
        help='multiples of 6 up to 48; the first is that of the other axis '
        '(default: %(default)s)')
    parser.add_argument(
        '--clips-per-class', type=int, nargs='+', default=[60, 15, 240],
        help='the first is that of the other axis (default: %(default)s)')
    parser.add_argument('--num-test', type=int, default=960,
                        help='test clips (default: %(default)s)')
    parser.add_argument('--difficulty', default='medium',
                        help='default: %(default)s')
    parser.add_argument('--iterations', type=int, default=1000,
                        help=f'of {BATCH} clips, rounded to whole epochs '
                        '(default: %(default)s)')
    parser.add_argument(
        '--no-shift', dest='shifts', action='store_false',
        help='a TSN: the network sees one frame at a time')
    parser.add_argument('--amp', action='store_true',
                        help='train in bfloat16: faster, if the CPU has '
                        'instructions for it')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--variants', nargs='+', default=['dsts_joint', 'dsts_udl2'],
        metavar='VARIANT', help='beside the control: names of '
        'tools/benchmark.py, or NAME:KEY=VALUE,… as there')
    args = parser.parse_args()
    args.out = args.out or Path(
        'work_dirs', 'study' if args.shifts else 'study_tsn')
    most = CLASSES_PER_NUMBER * len(SOMERSAULTS)
    for count in args.num_classes:
        if not 0 < count <= most or count % CLASSES_PER_NUMBER:
            parser.error(f'--num-classes must be multiples of '
                         f'{CLASSES_PER_NUMBER} up to {most}, got {count}')
    for cell in cells(args.num_classes, args.clips_per_class):
        if cell.num_classes * cell.clips_per_class < BATCH:
            parser.error('--clips-per-class must give at least one batch of '
                         f'{BATCH} clips, got {cell.clips_per_class} for '
                         f'{cell.num_classes} classes')
    for option in ('num_test', 'iterations'):
        if getattr(args, option) < 1:
            parser.error(f'--{option.replace("_", "-")} must be 1 or more, '
                         f'got {getattr(args, option)}')
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    try:
        for option in ('num_classes', 'clips_per_class', 'seeds'):
            refuse_twice(f'--{option.replace("_", "-")}',
                         getattr(args, option))
        variants = read_variants(
            [CONTROL] + [name for name in args.variants if name != CONTROL])
        log = RunLog(args.out, {
            name: getattr(args, name)
            for name in ('num_test', 'difficulty', 'iterations', 'shifts',
                         'amp')}, variants)
        run(args, variants, log)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    runs: dict[tuple[Cell, str], list[Run]] = defaultdict(list)
    for row in log.rows:
        runs[_cell(row), row['variant']].append(row)
    text = table(cells(args.num_classes, args.clips_per_class), variants,
                 runs)
    write_text(args.out / 'study.md', text)
    save(draw(args, variants, runs), args.out / 'study.png')
    print(text)


if __name__ == '__main__':
    main()
