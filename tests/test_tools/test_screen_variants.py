"""Screening runs, goes on where it was, and learns as the hook does."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dsts_mmaction.benchmark.small_tsm import SmallTSM
from tests.test_benchmark.host import write_clips

TOOL = Path(__file__).parents[2] / 'tools' / 'screen_variants.py'


def run(root, out, *variants):
    return subprocess.run(
        [sys.executable, str(TOOL), '--data-root', root, '--out', str(out),
         '--num-folds', '2', '--epochs', '1', '--extra-epochs', '1',
         '--variants', *variants], capture_output=True, text=True)


def test_screening_goes_on_where_it_was(tmp_path):
    root = write_clips(tmp_path / 'clips', dict(train=30, val=10))
    small = 'small:num_neurons=3,num_layers=1,mid_channels=8'
    first = run(root, tmp_path / 'out', 'baseline', small)
    assert first.returncode == 0, first.stderr
    results = tmp_path / 'out' / 'results.jsonl'
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(r['variant'], r['seed']) for r in rows] == [
        ('baseline', 1), ('small', 1), ('baseline', 2), ('small', 2)]
    # Every clip is tested in exactly one fold.
    assert sum(len(r['correct']) for r in rows) == 2 * 40
    for row in rows:
        assert row['top1'] == 100 * row['correct'].count('1') / len(
            row['correct'])

    again = run(root, tmp_path / 'out', 'baseline', small, f'udl:{small[6:]},'
                'udl=2')
    assert again.returncode == 0, again.stderr
    after = [json.loads(line) for line in results.read_text().splitlines()]
    assert after[:4] == rows
    assert [(r['variant'], r['seed']) for r in after[4:]] == [('udl', 1),
                                                               ('udl', 2)]
    # Only the decisions are learned differently, so the runs differ.
    assert [r['loss'] for r in after[4:]] != [rows[1]['loss'],
                                              rows[3]['loss']]


def test_bad_input_is_one_sentence(tmp_path):
    root = write_clips(tmp_path / 'clips', dict(train=6, val=4))
    done = run(root, tmp_path / 'out', 'baseline')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        'error: fold 1 leaves 5 clips to train on, and a batch has 16.')
    lines = [f'videos/val{i % 4}_s{i % 4}_.avi 0\n' for i in range(40)]
    lines.append('videos/absent_s1_.avi 0\n')
    Path(root, 'train.txt').write_text(''.join(lines))
    done = run(root, tmp_path / 'out', 'baseline')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        'absent_s1_.avi cannot be read as a video.')
    done = run(root, tmp_path / 'out', 'baseline', 'baseline')
    assert done.stderr.splitlines()[-1] == (
        'error: --variants must name each once, got baseline 2 times.')


def test_options_that_it_does_not_know_are_refused(tmp_path):
    root = write_clips(tmp_path / 'clips', dict(train=30, val=10))
    done = run(root, tmp_path / 'out', 'mine:udl=2,udl.interval=2')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        'error: variant mine has udl.OPTION, got ')


@pytest.mark.parametrize('shifts', [True, False])
def test_only_with_shift_do_frames_mix(shifts):
    torch.manual_seed(0)
    network = SmallTSM(3, shifts=shifts).eval()
    clips = torch.randn(2, 8, 36, 36)
    others = clips.clone()
    others[:, 0] = torch.randn(2, 36, 36)
    features, changed = network.extract(clips), network.extract(others)
    assert not torch.allclose(features[:, :, 0], changed[:, :, 0])
    assert shifts != torch.equal(features[:, :, 1:], changed[:, :, 1:])
