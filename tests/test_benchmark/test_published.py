"""The published numbers: merged, written, and in step with their Markdown."""
import json
import re
import sys
from pathlib import Path

import pytest

from dsts_mmaction.benchmark.published import (
    is_published,
    merge,
    published_groups,
    published_markdown,
    read_published,
    write_published,
)
from tests.test_benchmark.fake_results import ACCURACY, fake_results
from tools import benchmark_report

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs' / 'benchmarks.json'


@pytest.fixture
def run_tool(monkeypatch):
    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['tool', *map(str, args)])
        benchmark_report.main()
    return run


def rows_of(published, variant):
    return [row for row in published['rows'] if row['variant'] == variant]


def test_same_runs_are_replaced(tmp_path):
    first = fake_results(seed=1, seeds=3)
    second = fake_results(seed=2, seeds=2, variants=['dsts_joint', 'mine'])
    second.update(command='another')
    published = merge(read_published(tmp_path / 'none.json'), first)
    merged = merge(published, second)
    assert len(published['rows']) == 15  # as it was
    assert rows_of(merged, 'baseline') == rows_of(published, 'baseline')
    # Two seeds of it are new, the third is not.
    top1 = [run['top1'] for run in second['runs']]
    old, *new = rows_of(merged, 'dsts_joint')
    assert old == rows_of(published, 'dsts_joint')[2]
    assert [row['top1'] for row in new + rows_of(merged, 'mine')
            ] == pytest.approx(top1)
    (table, ) = merged['tables']
    assert [source['command'] for source in table['sources']] == [
        first['command'], 'another']
    assert {row['source'] for row in new} == {1} and old['source'] == 0
    assert {row['variant'] for row in merged['rows'] if row['source'] == 0
            } == {*ACCURACY}
    assert {row['variant'] for row in merged['rows'] if row['source'] == 1
            } == {'dsts_joint', 'mine'}
    # Everything of the first anew: nothing is left of it.
    again = merge(merge(merged, first), second)
    assert sorted(map(str, again['rows'])) == sorted(map(str, merged['rows']))
    assert again['tables'] == merged['tables']


def test_further_seeds_are_told_apart(tmp_path):
    path = tmp_path / 'numbers.json'
    published = merge(read_published(path), fake_results(variants=['mine']))
    more = fake_results(variants=['mine'], command='another')
    for run in more['runs']:
        run['seed'] += 3
    # The same groups from elsewhere.
    more['groups'] = dict(more['groups'], source='file a.txt')
    published = merge(published, more)
    assert [row['seed'] for row in published['rows']] == [0, 1, 2, 3, 4, 5]
    assert published['tables'][0]['groups'] == fake_results()['groups']
    write_published(published, path)
    text = published_markdown(path)
    assert '`mine` (seeds 0 1 2):\n\n- Command: `python' in text
    assert '`mine` (seeds 3 4 5):\n\n- Command: `another`' in text
    assert '| 6 |' in text


def test_runs_keep_their_own_sources():
    results = fake_results(variants=['mine'])
    sources = [dict(command=c, date=results['date'],
                    machine=results['machine']) for c in ('one', 'other')]
    for run in results['runs']:
        run['source'] = sources[run['seed'] > 0]
    published = merge(read_published('none.json'), results)
    again = merge(published, results)
    assert again == published
    commands = [source['command']
                for source in published['tables'][0]['sources']]
    assert commands == ['one', 'other']
    assert {row['seed']: commands[row['source']]
            for row in published['rows']} == {
                0: 'one', 1: 'other', 2: 'other'}


def test_groups_of_published_numbers(tmp_path):
    path = tmp_path / 'numbers.json'
    results = fake_results()
    write_published(merge(read_published(path), results), path)
    assert is_published(path)
    own = dict(results['protocol'], amp=True)

    def groups(data_set='gestures', **changes):
        return published_groups(path, 'tsm_r18', data_set,
                                dict(own, **changes))

    assert groups() == groups(epochs=14) == results['groups']
    with pytest.raises(ValueError, match='no table of tsm_r18 on others'):
        groups('others')
    other = fake_results()
    other['protocol'] = dict(other['protocol'], epochs=13)
    published = merge(read_published(path), other)
    write_published(published, path)
    assert groups(epochs=14) == results['groups']
    published['tables'][1]['groups'] = dict(source='file', groups=[[0, 2]])
    write_published(published, path)
    assert groups() == results['groups']
    assert groups(epochs=13)['groups'] == [[0, 2]]
    with pytest.raises(ValueError, match='different look-alike groups'):
        groups(epochs=14)
    path.write_text('[[0,')
    with pytest.raises(ValueError, match='numbers.json is not JSON'):
        is_published(path)
    path.write_text('[[0, 1]]')
    assert not is_published(path)
    assert not is_published(tmp_path / 'groups.txt')


def test_another_protocol_or_host_is_another_table():
    published = merge(read_published('none.json'), fake_results())
    other = fake_results()
    other['protocol'] = dict(other['protocol'], epochs=13)
    for results in (other, fake_results(hosts=('slowfast', ))):
        published = merge(published, results)
    assert [table['host'] for table in published['tables']] == [
        'tsm_r18', 'tsm_r18', 'slowfast']
    assert [row['table'] for row in published['rows']] == [
        i for i in range(3) for _ in range(15)]


def test_other_groups_do_not_mix():
    published = merge(read_published('none.json'), fake_results())
    other = fake_results(variants=['baseline'])
    other['groups'] = dict(source='file', groups=[[0, 1]])
    with pytest.raises(ValueError, match='other look-alike groups'):
        merge(published, other)
    everything = dict(fake_results(), groups=other['groups'])
    (table, ) = merge(published, everything)['tables']
    assert table['groups'] == other['groups']


def test_seeds_of_another_precision_share_a_table_but_no_seed_has_both():
    published = merge(read_published('none.json'), fake_results())
    other = fake_results()
    other['protocol'] = dict(other['protocol'], amp=True)
    for run in other['runs']:
        run['seed'] += 3
    merged = merge(published, other)
    (table, ) = merged['tables']
    assert [source['amp'] for source in table['sources']] == [False, True]
    assert [row['seed'] for row in rows_of(merged, 'baseline')] == [
        0, 1, 2, 3, 4, 5]
    other['runs'] = other['runs'][:1]
    other['runs'][0]['seed'] = 2
    with pytest.raises(ValueError, match='seed 2 with and without mixed '
                       'precision, which cannot be compared: '):
        merge(published, other)
    # What a run itself trained with goes before the option.
    other['runs'][0]['amp'] = False
    (table, ) = merge(published, other)['tables']
    assert [source['amp'] for source in table['sources']] == [False, False]


def test_a_table_is_of_one_version():
    results = [fake_results(variants=[variant]) for variant in 'abc']
    for one, version in zip(results, (None, '0.1', '0.2')):
        one['machine'] = dict(one['machine'], dsts_mmaction=version)
    published = merge(merge(read_published('none.json'), results[0]),
                      results[1])  # what is not known may be the same
    with pytest.raises(ValueError, match='has runs of versions 0.1, 0.2 of'):
        merge(published, results[2])


def test_tool_adds_and_writes(tmp_path, run_tool):
    results = tmp_path / 'run' / 'results.json'
    results.parent.mkdir()
    results.write_text(json.dumps(fake_results(seed=4)))
    docs = tmp_path / 'docs' / 'numbers.json'
    run_tool(results, '--out', tmp_path / 'out', '--add-to', docs)
    assert (tmp_path / 'out' / 'results.md').exists()
    published = merge(read_published('none.json'), fake_results(seed=4))
    assert read_published(docs) == published
    markdown = docs.with_suffix('.md').read_text()
    assert markdown == published_markdown(docs)
    assert 'Made from numbers.json' in markdown
    assert '`dsts_udl2`' in markdown and '2000-01-02' in markdown
    (picture, ) = re.findall(r'!\[.*\]\((.*)\)', markdown)
    assert docs.with_name(picture).stat().st_size > 0

    notes = docs.with_name('numbers_notes.md')
    notes.write_text('What *we* think\n\n| of | it |\n')
    run_tool('--docs', docs)
    with_notes = docs.with_suffix('.md').read_text()
    assert notes.read_text() in with_notes
    assert with_notes.replace(notes.read_text() + '\n', '') == markdown

    speed = docs.with_name('numbers_speed.md')
    speed.write_text('## How fast\n')
    run_tool('--docs', docs)
    assert docs.with_suffix('.md').read_text() == (
        f'{with_notes}\n{speed.read_text()}')


@pytest.mark.parametrize('args, message', [
    ([], 'give RESULTS or --docs'),
    (['a/results.json'], 'RESULTS go with --out or --add-to'),
    (['--out', 'a'], 'RESULTS go with --out or --add-to'),
    (['a/r.json', 'b/a/r.json', '--out', 'c'], 'different names, got a, a'),
    (['--docs', 'nothing.json'], 'error: nothing.json is missing'),
    (['nothing.json', '--out', 'a'], "No such file.*'nothing.json'"),
])
def test_tool_refuses(args, message, run_tool, capsys):
    with pytest.raises(SystemExit) as stop:
        run_tool(*args)
    text = capsys.readouterr().err + str(stop.value)
    assert re.search(message, text), text


def test_docs_are_what_their_numbers_give(tmp_path):
    assert DOCS.with_suffix('.md').read_text(encoding='utf-8') == \
        published_markdown(DOCS)
    write_published(read_published(DOCS), tmp_path / 'again.json')
    assert (tmp_path / 'again.json').read_text() == DOCS.read_text()
