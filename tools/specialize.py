"""Write the specialized twin of any recognizer's config.

    python tools/specialize.py mmaction::recognition/tsm/….py --udl 2

The written config inherits from CONFIG with only what changes; MMAction2's
train.py runs it as it is. With --num-classes and annotation lists, it becomes
a config for one's own videos.
"""
import argparse
import sys
from pathlib import Path

from rich.console import Console

from dsts_mmaction.tailor.fine_tuning import OwnData
from dsts_mmaction.tailor.writing import write_specialized

ORDERS: dict[str, int | None] = {'off': None, '1': 1, '2': 2}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Write the specialized twin of a recognizer's config, or "
        'a config that fine-tunes it on your own videos.')
    parser.add_argument(
        'config', metavar='CONFIG',
        help='config of a plain recognizer, a file or a name like '
        'mmaction::recognition/tsm/….py')
    parser.add_argument(
        '--out', type=Path, metavar='FILE',
        help='where to (default: dsts-NAME.py or dsts-udl-NAME.py, in the '
        'current folder)')
    parser.add_argument('--force', action='store_true',
                        help='replace an existing file')
    dsts = parser.add_argument_group('specialization')
    dsts.add_argument('--num-neurons', type=int, default=10, metavar='N',
                      help='in each layer (default: %(default)s)')
    dsts.add_argument('--num-layers', type=int, default=3, metavar='L',
                      help='default: %(default)s')
    dsts.add_argument('--mid-channels', type=int, metavar='M',
                      help="inner channels (default: a quarter of the "
                      "features', at most 256)")
    dsts.add_argument('--udl', choices=list(ORDERS), default='off',
                      help='order of Upstream-Downstream Learning (default: '
                      '%(default)s, trained jointly)')
    data = parser.add_argument_group('your own data, all or none')
    data.add_argument('--num-classes', type=int, metavar='K')
    data.add_argument('--data-root', metavar='DIR',
                      help="folder that the lists' paths start from")
    data.add_argument('--ann-train', metavar='LIST',
                      help='lines PATH LABEL, labels from 0')
    data.add_argument('--ann-val', metavar='LIST')
    data.add_argument('--ann-test', metavar='LIST',
                      help='default: that of --ann-val')
    data.add_argument('--no-flip', action='store_true',
                      help='do not flip training clips: classes name left '
                      'and right, or clockwise and counter-clockwise')
    more = parser.add_argument_group('training')
    more.add_argument('--load-from', metavar='CHECKPOINT',
                      help='of the plain recognizer; training starts there '
                      '(default: with your own data and a config of '
                      "MMAction2, MMAction2's weights for it; none: as the "
                      'config has it)')
    more.add_argument('--epochs', type=int,
                      help="default: the config's; with your own data only")
    more.add_argument('--gpus', type=int,
                      help='that it will be trained on; the learning rate is '
                      'scaled to their batch (default: 1; with your own data '
                      'only)')
    return parser.parse_args()


def own_data(args: argparse.Namespace) -> OwnData | None:
    """The user's own data; None if none are given.

    Raises:
        ValueError: Only a part of them is given, or one is out of range.
    """
    required = {
        '--num-classes': args.num_classes, '--data-root': args.data_root,
        '--ann-train': args.ann_train, '--ann-val': args.ann_val}
    missing = [name for name, value in required.items() if value is None]
    if len(missing) == len(required) and args.ann_test is None:
        for option, is_given in (('--epochs', args.epochs is not None),
                                 ('--gpus', args.gpus is not None),
                                 ('--no-flip', args.no_flip)):
            if is_given:
                raise ValueError(f'{option} needs your own data: '
                                 f'{", ".join(missing)}.')
        return None
    if missing:
        raise ValueError('your own data need '
                         f'{", ".join(required)}; missing: '
                         f'{", ".join(missing)}.')
    lists = dict(train=args.ann_train, val=args.ann_val)
    if args.ann_test is not None:
        lists['test'] = args.ann_test
    return OwnData(args.num_classes, lists, args.data_root, args.epochs,
                   1 if args.gpus is None else args.gpus, not args.no_flip)


def main() -> None:
    args = parse_args()
    dsts = dict(num_neurons=args.num_neurons, num_layers=args.num_layers)
    if args.mid_channels is not None:
        dsts['mid_channels'] = args.mid_channels
    try:
        written = write_specialized(
            args.config, args.out, dsts, ORDERS[args.udl], own_data(args),
            args.load_from, args.force)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    console = Console(highlight=False)
    if written.clips:
        console.print('Clips:', ', '.join(
            f'{split} {count}' for split, count in written.clips.items()))
    console.print(f'Parameters of DSTS: {written.parameters / 1e6:.2f} M')
    for remark in written.remarks:
        console.print('Note:', remark, soft_wrap=True)
    console.print(f'Written: {written.path}\nTrain it with: python '
                  f'tools/train.py {written.path}', soft_wrap=True)


if __name__ == '__main__':
    main()
