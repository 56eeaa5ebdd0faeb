"""Write tables and pictures of a benchmark from what it measured."""
import argparse
import sys
from pathlib import Path

from dsts_mmaction.benchmark.plots import save
from dsts_mmaction.benchmark.published import (
    merge,
    published_markdown,
    published_pictures,
    read_published,
    write_published,
)
from dsts_mmaction.benchmark.report import read_results, write_report
from dsts_mmaction.utils.atomic import write_text

DOCS = Path(__file__).resolve().parents[1] / 'docs' / 'benchmarks.json'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write tables and pictures of a benchmark from its '
        'results.json, add it to the published numbers, or write the '
        'Markdown of these anew.')
    parser.add_argument('results', nargs='*', type=Path, metavar='RESULTS',
                        help='results.json of tools/benchmark.py')
    parser.add_argument(
        '--out', type=Path, metavar='DIR',
        help='directory for results.md and pictures; of several RESULTS, '
        'each gets one below it, named after the one it is in')
    parser.add_argument(
        '--add-to', type=Path, metavar='JSON',
        help='add RESULTS to these published numbers and write their '
        'Markdown and pictures; the same variants are replaced')
    parser.add_argument(
        '--docs', nargs='?', type=Path, const=DOCS, metavar='JSON',
        help='write the Markdown and pictures of these published numbers '
        '(default: docs/benchmarks.json) beside them')
    args = parser.parse_args()
    if bool(args.results) != bool(args.out or args.add_to):
        parser.error('RESULTS go with --out or --add-to.')
    if not (args.results or args.docs):
        parser.error('give RESULTS or --docs.')
    names = [path.resolve().parent.name for path in args.results]
    if args.out and len(set(names)) < len(names):
        parser.error('RESULTS must be in directories of different names, '
                     f'got {", ".join(names)}.')
    return args


def write_docs(path: Path) -> None:
    """Write the Markdown of published numbers, and its pictures."""
    if not path.exists():
        raise ValueError(f'{path} is missing.')
    for picture, figure in published_pictures(path):
        save(figure, picture)
    write_text(path.with_suffix('.md'), published_markdown(path))


def main() -> None:
    args = parse_args()
    try:
        results = [read_results(path) for path in args.results]
        if args.out:
            for path, result in zip(args.results, results):
                write_report(result, args.out if len(results) == 1 else
                             args.out / path.resolve().parent.name)
        if args.add_to:
            published = read_published(args.add_to)
            for result in results:
                published = merge(published, result)
            write_published(published, args.add_to)
            write_docs(args.add_to)
        if args.docs:
            write_docs(args.docs)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
