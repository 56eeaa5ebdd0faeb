"""What the tools that prepare data sets have in common."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from ...utils.markdown import markdown_table
from .annotations import Annotations, is_below
from .counts import count_table
from .videos import find_missing, find_unreadable
from .writing import check_free, write_annotations, write_report


def add_options(parser: argparse.ArgumentParser, ext: str) -> None:
    """Add the options that all data sets share.

    Args:
        parser: Parser of a tool.
        ext: Suffix that the data set's videos usually have.
    """
    parser.add_argument(
        '--out', required=True,
        help='folder for the lists, the data root')
    parser.add_argument(
        '--prefix', default='videos', metavar='DIR', type=_prefix,
        help='folder of the videos below the data root, put before every '
        "name in the lists; '' for none (default: %(default)s)")
    parser.add_argument(
        '--ext', default=ext, type=_suffix,
        help='suffix of the videos (default: %(default)s)')
    parser.add_argument(
        '--force', action='store_true', help='replace lists in OUT')
    parser.add_argument(
        '--markdown', action='store_true',
        help='print the table of counts as Markdown')

    videos = parser.add_argument_group('videos')
    videos.add_argument(
        '--videos', metavar='DIR',
        help='check that all videos are in this folder')
    videos.add_argument(
        '--check-readable', action='store_true',
        help='also read the first frame of each')
    videos.add_argument(
        '--missing', choices=['error', 'drop'], default='error',
        help='where videos are missing or unreadable, write no lists, or '
        'leave these videos out; either way OUT/missing.txt and '
        'OUT/unreadable.txt name them (default: %(default)s)')
    videos.add_argument(
        '--num-workers', type=_positive, default=os.cpu_count() or 1,
        metavar='N', help='processes that read (default: one a CPU core)')


def run(args: argparse.Namespace, read: Callable[[], Annotations]) -> None:
    """Read, check, write and count; errors end the process.

    Args:
        args: Parsed options of :func:`add_options`.
        read: Reads the annotation files.

    Raises:
        SystemExit: With one sentence, if an option or a file is not as it
            should be, lists are there already, videos are missing or
            unreadable, or something cannot be written.
    """
    try:
        # Standard output has the table, and nothing else.
        annotations = _prepare(args, read, Console(stderr=True))
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('Stopped. No lists were written.')
    rows = count_table(annotations.splits)
    if args.markdown:
        print(markdown_table(rows), end='')
        return
    table = Table(rows[0][0])
    for column in rows[0][1:]:
        table.add_column(column, justify='right')
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def _prepare(args: argparse.Namespace, read: Callable[[], Annotations],
             console: Console) -> Annotations:
    """Write the lists of a data set, and return what was written."""
    if args.videos and not os.path.isdir(args.videos):
        raise ValueError(f'--videos {args.videos} is not a folder.')
    if args.check_readable and not args.videos:
        raise ValueError('--check-readable needs --videos, the folder of the '
                         'videos.')
    annotations = read()
    check_free(annotations, args.out, args.force)
    if args.videos:
        annotations = _check_videos(args, annotations, console)
    write_annotations(annotations, args.out, args.prefix, args.ext)
    for note in annotations.notes:
        _tell(console, note)
    return annotations


def _tell(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _check_videos(args: argparse.Namespace, annotations: Annotations,
                  console: Console) -> Annotations:
    """Report missing and unreadable videos; leave them out if allowed."""
    names = list(dict.fromkeys(
        f'{clip.name}.{args.ext}' for split in annotations.splits
        for clip in split.clips))
    missing = find_missing(args.videos, names)
    unreadable: dict[str, str] = {}
    if args.check_readable:
        absent = set(missing)
        unreadable = find_unreadable(
            args.videos, [name for name in names if name not in absent],
            args.num_workers, console)
    found = []
    for what, bad, lines in (
            ('missing', missing, missing),
            ('unreadable', list(unreadable),
             [f'{name}\t{reason}' for name, reason in unreadable.items()])):
        report = os.path.join(args.out, f'{what}.txt')
        if what == 'missing' or args.check_readable:
            write_report(report, lines)
        if bad:
            found.append(f'{len(bad)} of {len(names)} {what}, such as '
                         f'{bad[0]} (all in {report})')
    if not found:
        return annotations
    problem = f"videos in {args.videos}: {' and '.join(found)}"
    if args.missing == 'error':
        raise FileNotFoundError(
            f'{problem}. No lists were written; --missing drop leaves these '
            'videos out.')
    _tell(console, f'Left out {problem}.')
    return _without(annotations, {*missing, *unreadable}, args.ext)


def _without(annotations: Annotations, videos: set[str],
             ext: str) -> Annotations:
    splits = []
    for split in annotations.splits:
        clips = [clip for clip in split.clips
                 if f'{clip.name}.{ext}' not in videos]
        if not clips:
            raise ValueError(f'no video of {split.name} is left: no lists '
                             'were written.')
        splits.append(replace(split, clips=clips))
    return replace(annotations, splits=splits)


def _suffix(text: str) -> str:
    suffix = text.removeprefix('.')
    if not suffix.isalnum():
        raise argparse.ArgumentTypeError(
            f'must be letters and digits, got {text!r}')
    return suffix


def _prefix(text: str) -> str:
    if text and not is_below(text):
        raise argparse.ArgumentTypeError(
            'must be a path below the data root without white space, got '
            f'{text!r}')
    return text.rstrip('/')


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f'must be a whole number above 0, got {text!r}')
    return int(text)
