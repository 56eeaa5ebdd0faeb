"""Write annotation lists of Something-Something V2 for MMAction2."""

import argparse

from dsts_mmaction.datasets.prepare import read_sthv2
from dsts_mmaction.datasets.prepare.command import add_options, run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write train.txt, val.txt and classes.txt of '
        'Something-Something V2, or of another split with such files. The '
        'test split has no labels and gets no list.')
    parser.add_argument(
        '--annotations', metavar='DIR',
        help='folder of something-something-v2-labels.json, …-train.json and '
        '…-validation.json, or labels.json, train.json and validation.json')
    for name, what in (('labels', 'labels of the classes'),
                       ('train', 'training split'),
                       ('val', 'validation split')):
        parser.add_argument(
            f'--{name}', metavar='FILE',
            help=f'file of the {what} (default: the one in DIR)')
    add_options(parser, ext='webm')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run(args, lambda: read_sthv2(args.annotations, args.labels, args.train,
                                 args.val))


if __name__ == '__main__':
    main()
