"""The benchmark's published numbers: ``benchmarks.json`` and its Markdown.

The JSON file holds ``tables``, one for each host, data set and protocol,
with where its numbers come from, and ``rows``, one for each run::

    {"format": 1,
     "tables": [{"host": …, "data_set": {…}, "protocol": {…}, "groups": {…},
                 "sources": [{"command": …, "date": …, "machine": {…},
                              "amp": …}]}],
     "rows": [{"table": 0, "source": 0, "host": …, "data_set": …,
               "variant": …, "seed": …, "top1": …, "mean_class": …,
               "within_group": …, …}]}

Whether a run was trained with mixed precision, by ``--amp`` or its host, is
said with its source: not all CPUs can. Seeds of both kinds share a table, but
all runs of a seed, which are compared, are of one kind.

The Markdown file beside it, with a picture of each table's accuracies, is made
from it, from ``benchmarks_notes.md``, remarks that are written by hand, and
from ``benchmarks_speed.md``, ratios of time and memory that
``tools/bench_speed.py`` wrote.
"""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ..utils.atomic import write_text
from ..utils.json_files import read_json
from ..utils.machine import PACKAGE
from .comparison import comparisons
from .plots import draw_accuracies
from .report import (
    EXPLANATION,
    FORMAT,
    comparison_tables,
    provenance,
    read_results,
)
from .statistics import Run

# What is kept of a run. Confusions, curves and single clips are not.
ROW_KEYS = ('host', 'data_set', 'variant', 'seed', 'top1', 'top5',
            'mean_class', 'within_group', 'val_top1', 'parameters', 'flops',
            'seconds_per_iter', 'peak_memory_mb')
GENERATED = ('<!-- Made from {json}, {notes} and {speed} by '
             'tools/benchmark_report.py --docs: change those. -->\n')


def read_published(path: str | Path) -> dict[str, Any]:
    """The published numbers; none, if there is no such file.

    Raises:
        ValueError: The file is something else.
    """
    path = Path(path)
    if not path.exists():
        return dict(format=FORMAT, tables=[], rows=[])
    return read_results(path, keys=('tables', 'rows'))


def is_published(path: str | Path) -> bool:
    """Whether a file is one of published numbers.

    Raises:
        ValueError: It ends in .json and is not JSON.
    """
    if Path(path).suffix != '.json' or not Path(path).is_file():
        return False
    content = read_json(path)
    return isinstance(content, dict) and 'tables' in content


def merge(published: dict[str, Any],
          results: dict[str, Any]) -> dict[str, Any]:
    """Published numbers with those of a ``results.json``.

    A run is replaced where host, data set, protocol, variant and seed are
    the same.

    Raises:
        ValueError: A table has runs with other look-alike groups, whose
            within-group accuracies could not be compared, of another version
            of this package, or runs of the same seed with other precision.
    """
    tables = [dict(table) for table in published['tables']]
    rows = [dict(row) for row in published['rows']]
    data_set = {key: value for key, value in results['data_set'].items()
                if key != 'class_names'}
    protocol = dict(results['protocol'])
    last = {key: results.get(key) for key in ('command', 'date', 'machine')}
    amp = protocol.pop('amp', False)
    for comparison in comparisons(results['runs']):
        head = dict(host=comparison.host, data_set=data_set,
                    protocol=protocol)
        index = next((i for i, table in enumerate(tables)
                      if all(table[key] == head[key] for key in head)),
                     len(tables))
        if index == len(tables):
            tables.append(dict(head, sources=[]))
        table = tables[index]
        runs = [run for runs in comparison.variants.values() for run in runs]
        replaced = {(run['variant'], run['seed']) for run in runs}
        rows = [row for row in rows if row['table'] != index
                or (row['variant'], row['seed']) not in replaced]
        groups = results['groups']
        if not any(row['table'] == index for row in rows):
            table['groups'] = groups
        elif table['groups']['groups'] != groups['groups']:
            raise ValueError(
                f'the table of {comparison.host} on {data_set["name"]} has '
                'runs with other look-alike groups: give those to '
                'tools/benchmark.py, by --groups and the file of these '
                'numbers, or replace all runs at once.')
        table['sources'] = list(table['sources'])
        kept = len(table['sources'])
        for run in runs:
            source = dict(run.get('source') or last,
                          amp=run.get('amp', amp))
            if source not in table['sources'][kept:]:
                table['sources'].append(source)
            rows.append(_row(
                run, index, table['sources'].index(source, kept)))
        own = [row for row in rows if row['table'] == index]
        _drop_unused_sources(table, own)
        _check_precision(table, own)
        _check_version(table)
    rows.sort(key=lambda row: (row['table'], row['source']))
    return dict(format=FORMAT, tables=tables, rows=rows)


def published_groups(path: str | Path, host: str, data_set: str,
                     protocol: dict[str, Any]) -> dict[str, Any]:
    """Look-alike groups of a published table, and their source.

    Those of the table with the same protocol, or else of any: they belong to
    the host and the data set.

    Raises:
        ValueError: There is no such table, or tables of several other
            protocols have different groups.
    """
    protocol = {key: value for key, value in protocol.items() if key != 'amp'}
    tables = [table for table in read_published(path)['tables']
              if (table['host'], table['data_set']['name'])
              == (host, data_set)]
    found = [table['groups'] for table in tables
             if table['protocol'] == protocol]
    found = found or [table['groups'] for table in tables]
    if not found:
        raise ValueError(f'{path} has no table of {host} on {data_set} to '
                         'take look-alike groups from.')
    if any(groups['groups'] != found[0]['groups'] for groups in found):
        raise ValueError(f'{path} has tables of {host} on {data_set} with '
                         'different look-alike groups: give a file with '
                         'those that are meant.')
    return found[0]


def _drop_unused_sources(table: dict[str, Any], rows: list[Run]) -> None:
    used = sorted({row['source'] for row in rows})
    table['sources'] = [table['sources'][source] for source in used]
    for row in rows:
        row['source'] = used.index(row['source'])


def _check_precision(table: dict[str, Any], rows: list[Run]) -> None:
    precision: dict[int, bool] = {}
    for row in rows:
        amp = table['sources'][row['source']].get('amp', False)
        if precision.setdefault(row['seed'], amp) != amp:
            raise ValueError(
                f'the table of {table["host"]} on '
                f'{table["data_set"]["name"]} has runs of seed {row["seed"]} '
                'with and without mixed precision, which cannot be '
                'compared: replace all of them at once, or take another '
                'seed.')


def _check_version(table: dict[str, Any]) -> None:
    versions = {(source['machine'] or {}).get(PACKAGE)
                for source in table['sources']} - {None}
    if len(versions) > 1:
        raise ValueError(
            f'the table of {table["host"]} on {table["data_set"]["name"]} has '
            f'runs of versions {", ".join(sorted(versions))} of {PACKAGE}, '
            'which cannot be compared: replace all runs at once.')


def write_published(published: dict[str, Any],
                    path: str | Path) -> None:
    """Write the JSON file, one line per table and row."""
    lines = {key: ',\n'.join('  ' + json.dumps(value, ensure_ascii=False)
                             for value in published[key])
             for key in ('tables', 'rows')}
    write_text(path, f'{{"format": {published["format"]},\n'
                     f' "tables": [\n{lines["tables"]}\n ],\n'
                     f' "rows": [\n{lines["rows"]}\n ]}}\n')


def published_markdown(path: str | Path) -> str:
    """The Markdown of a JSON file and of the notes beside it.

    Raises:
        ValueError: The file is something else.
    """
    path = Path(path)
    published = read_published(path)
    notes = notes_path(path)
    parts = ['# Benchmarks\n',
             GENERATED.format(json=path.name, notes=notes.name,
                              speed=speed_path(path).name)]
    if notes.exists():
        parts.append(notes.read_text(encoding='utf-8').rstrip('\n') + '\n')
    parts.append(EXPLANATION)
    for index, table in enumerate(published['tables']):
        parts += _table_section(table, _rows(published, index),
                                picture_path(path, index).name)
    if speed_path(path).exists():
        parts.append(speed_path(path).read_text(encoding='utf-8'))
    return '\n'.join(parts)


def published_pictures(
        path: str | Path) -> Iterator[tuple[Path, Figure]]:
    """The pictures of a JSON file's tables, and where they belong.

    Raises:
        ValueError: The file is something else.
    """
    published = read_published(path)
    for index in range(len(published['tables'])):
        comparison, = comparisons(_rows(published, index))
        yield picture_path(path, index), draw_accuracies(comparison)


def picture_path(path: str | Path, index: int) -> Path:
    """Where the picture of a table of a JSON file is."""
    path = Path(path)
    return path.with_name(f'{path.stem}_{index + 1}.png')


def notes_path(path: str | Path) -> Path:
    """Where the remarks to a JSON file are."""
    path = Path(path)
    return path.with_name(f'{path.stem}_notes.md')


def speed_path(path: str | Path) -> Path:
    """Where ``tools/bench_speed.py --markdown`` writes beside a JSON file."""
    path = Path(path)
    return path.with_name(f'{path.stem}_speed.md')


def _rows(published: dict[str, Any], table: int) -> list[Run]:
    return [row for row in published['rows'] if row['table'] == table]


def _table_section(table: dict[str, Any], rows: list[Run],
                   picture: str) -> list[str]:
    parts = [f"## {table['host']} on {table['data_set']['name']}\n",
             provenance({key: table[key]
                         for key in ('data_set', 'protocol', 'groups')})]
    for comparison in comparisons(rows, table['protocol']):
        parts += comparison_tables(comparison)
    parts += [f'![Accuracies with every seed]({picture})\n', '### Source\n']
    for index, source in enumerate(table['sources']):
        seeds: dict[str, list[int]] = {}
        for row in rows:
            if row['source'] == index:
                seeds.setdefault(row['variant'], []).append(row['seed'])
        runs = [f'`{variant}` (seeds {" ".join(map(str, sorted(numbers)))})'
                for variant, numbers in seeds.items()]
        parts.append(f'{", ".join(runs)}:\n\n{provenance(source)}')
    return parts


def _row(run: Run, table: int, source: int) -> dict[str, Any]:
    row: dict[str, Any] = dict(table=table, source=source)
    for key in ROW_KEYS:
        value = run.get(key)
        row[key] = round(value, 4) if isinstance(value, float) else value
    return row
