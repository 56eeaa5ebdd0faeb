"""Write a SynthDive data set: rendered divers in mp4 files."""

import argparse
import os
import sys

from dsts_mmaction.datasets import (
    SynthDiveConfig,
    draw_contact_sheet,
    write_dataset,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write a SynthDive data set: rendered divers in mp4 '
        "files with annotation lists for MMAction2's VideoDataset. A stopped "
        'run continues where it was.')
    parser.add_argument('out_dir', help='directory to write to')
    for split, count in (('train', 720), ('val', 120), ('test', 240)):
        parser.add_argument(
            f'--num-{split}',
            type=int,
            default=count,
            help=f'clips in the {split} split (default: {count})')
    parser.add_argument(
        '--size',
        type=int,
        default=64,
        help='height and width in pixels, a multiple of 32 (default: 64)')
    parser.add_argument(
        '--num-frames',
        type=int,
        nargs=2,
        default=(16, 24),
        metavar=('MIN', 'MAX'),
        help='fewest and most frames of a clip; lengths are multiples of 8 '
        '(default: 16 24)')
    parser.add_argument(
        '--fps', type=int, default=12, help='frames per second (default: 12)')
    parser.add_argument(
        '--difficulty',
        default='medium',
        help='easy, medium, hard or a number from 0 to 1: noise, clutter, '
        'contrast, colour of the cap, camera shake, spread of pose and size '
        '(default: medium)')
    parser.add_argument(
        '--somersaults',
        type=float,
        nargs='+',
        default=(0.5, 1.0),
        help='numbers of turns that make classes (default: 0.5 1)')
    parser.add_argument(
        '--positions',
        nargs='+',
        default=('tuck', 'pike', 'straight'),
        help='body positions that make classes (default: tuck pike straight)')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    parser.add_argument(
        '--num-workers',
        type=int,
        default=os.cpu_count() or 1,
        help='processes that render; 0 renders in this one (default: one a '
        'CPU core)')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a SynthDive data set with other parameters')
    parser.add_argument(
        '--contact-sheet',
        metavar='PNG',
        help='also write a picture with one row a class (default: '
        'OUT_DIR/contact_sheet.png)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        config = SynthDiveConfig(
            size=args.size,
            num_frames=tuple(args.num_frames),
            fps=args.fps,
            difficulty=args.difficulty,
            seed=args.seed,
            somersaults=tuple(args.somersaults),
            positions=tuple(args.positions))
        rendered = write_dataset(
            config,
            args.out_dir,
            dict(train=args.num_train, val=args.num_val, test=args.num_test),
            num_workers=args.num_workers,
            overwrite=args.overwrite)
        sheet = args.contact_sheet or os.path.join(args.out_dir,
                                                   'contact_sheet.png')
        draw_contact_sheet(config, sheet)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('Stopped. Run the same command again to continue.')
    print(f'{rendered} clips rendered, data set in {args.out_dir}')


if __name__ == '__main__':
    main()
