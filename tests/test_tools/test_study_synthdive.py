"""The study covers both axes, goes on where it was, and pairs by seed."""
import json
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / 'tools' / 'study_synthdive.py'
SMALL = 'num_neurons=3,num_layers=1,mid_channels=8'


def run(out, *options):
    return subprocess.run(
        [sys.executable, str(TOOL), '--out', str(out), '--num-test', '12',
         '--iterations', '1', *options], capture_output=True, text=True)


def test_study_covers_both_axes_and_goes_on(tmp_path):
    options = ('--num-classes', '6', '12', '--clips-per-class', '3', '5',
               '--variants', f'small:{SMALL}', '--seeds', '0')
    first = run(tmp_path, *options)
    assert first.returncode == 0, first.stderr
    results = tmp_path / 'results.jsonl'
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert sorted({(r['num_classes'], r['clips_per_class'])
                   for r in rows}) == [(6, 3), (6, 5), (12, 3)]
    assert {r['variant'] for r in rows} == {'control_compute', 'small'}
    assert all(len(r['correct']) == 12 for r in rows)
    assert (tmp_path / 'study.png').stat().st_size > 0

    again = run(tmp_path, *options, '1')
    assert again.returncode == 0, again.stderr
    after = [json.loads(line) for line in results.read_text().splitlines()]
    assert after[:len(rows)] == rows
    assert [r['seed'] for r in after[len(rows):]] == [1] * len(rows)
    table = (tmp_path / 'study.md').read_text().splitlines()
    assert len(table) == 2 + 3
    for line in table[2:]:
        classes, clips, control, ours, gain = (
            cell.strip() for cell in line.strip('| ').split('|'))
        found = [r['top1'] for name in ('small', 'control_compute')
                 for r in after if r['variant'] == name
                 and (str(r['num_classes']), str(r['clips_per_class'])) == (
                     classes, clips)]
        means = sum(found[:2]) / 2, sum(found[2:]) / 2
        assert ours.startswith(f'{means[0]:.1f}')
        assert control.startswith(f'{means[1]:.1f}')
        assert float(gain.split()[0]) == round(means[0] - means[1], 1)

    # Another host is another study, unless its directory is.
    other = run(tmp_path, *options, '--no-shift')
    assert other.returncode == 1
    assert 'shifts is True in' in other.stderr
    done = run(tmp_path / 'tsn', *options, '--no-shift')
    assert done.returncode == 0, done.stderr
    losses = [json.loads(line)['loss'] for line in (
        tmp_path / 'tsn' / 'results.jsonl').read_text().splitlines()]
    assert losses and not set(losses) & {row['loss'] for row in rows}


def test_bad_numbers_are_refused(tmp_path):
    for options, status, message in (
            (('--num-classes', '8'), 2, 'multiples of 6 up to 48, got 8'),
            (('--num-classes', '6', '--clips-per-class', '2'), 2,
             'at least one batch of 16 clips, got 2'),
            (('--iterations', '0'), 2,
             '--iterations must be 1 or more, got 0'),
            (('--seeds', '1', '1'), 1,
             '--seeds must name each once, got 1 2 times.')):
        done = run(tmp_path, *options)
        assert done.returncode == status
        assert message in done.stderr
