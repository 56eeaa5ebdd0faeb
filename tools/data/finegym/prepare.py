"""Write annotation lists of FineGym's Gym99 and Gym288 for MMAction2."""

import argparse

from dsts_mmaction.datasets.prepare import read_finegym
from dsts_mmaction.datasets.prepare.command import add_options, run
from dsts_mmaction.datasets.prepare.finegym import NUM_CLASSES, TIMES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write SET_train.txt and SET_val.txt of Gym99 and '
        'Gym288, and segments.csv, by which the clips of their elements can '
        'be cut.')
    parser.add_argument(
        '--annotations', required=True, metavar='DIR',
        help='folder of the official lists of elements, such as '
        'gym99_train_element_v1.1.txt or gym99_train_org.txt')
    parser.add_argument(
        '--sets', nargs='+', choices=list(NUM_CLASSES),
        default=list(NUM_CLASSES), help='default: gym99 gym288')
    parser.add_argument(
        '--times', metavar='FILE',
        help='JSON file with the times of the elements (default: the first '
        f"of {', '.join(TIMES)} in DIR)")
    parser.add_argument(
        '--gym99-names', metavar='FILE',
        help="names of Gym99's classes, one a line; writes "
        'gym99_classes.txt')
    add_options(parser, ext='mp4')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run(args, lambda: read_finegym(args.annotations, args.sets, args.times,
                                   args.gym99_names))


if __name__ == '__main__':
    main()
