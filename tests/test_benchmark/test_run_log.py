"""A study's runs are kept, and those made in another way are not mixed in."""
import json

import pytest

from dsts_mmaction.benchmark import run_log
from dsts_mmaction.benchmark.run_log import RunLog
from dsts_mmaction.benchmark.variants import VARIANTS, parse_variant

BASELINE = VARIANTS['baseline']
SETTINGS = dict(epochs=3, lists=['train.txt'])


def test_runs_are_there_again(tmp_path):
    out = tmp_path / 'new' / 'study'
    log = RunLog(out, SETTINGS, [BASELINE])
    assert log.rows == []
    log.append(BASELINE, dict(seed=0, top1=50.0))
    log.append(BASELINE, dict(seed=1, top1=60.0))
    lines = (out / 'results.jsonl').read_text().splitlines()
    assert [json.loads(line)['seed'] for line in lines] == [0, 1]
    assert RunLog(out, SETTINGS, [BASELINE]).rows == log.rows


def test_two_processes_add_to_one_study(tmp_path):
    first, second = (RunLog(tmp_path, SETTINGS, [BASELINE]) for _ in '12')
    first.append(BASELINE, dict(seed=0))
    second.append(BASELINE, dict(seed=1))
    first.append(BASELINE, dict(seed=2))
    assert [row['seed'] for row in first.rows] == [0, 1, 2]
    assert RunLog(tmp_path, SETTINGS, [BASELINE]).rows == first.rows


@pytest.mark.parametrize('with_runs', [True, False])
def test_other_settings_are_refused(tmp_path, with_runs):
    log = RunLog(tmp_path, SETTINGS, [BASELINE])
    if with_runs:
        log.append(BASELINE, dict(seed=0, top1=50.0))
    with pytest.raises(ValueError, match=r'epochs is 3 in .*, got 4: give'):
        RunLog(tmp_path, dict(SETTINGS, epochs=4), [BASELINE])
    assert RunLog(tmp_path, SETTINGS, [BASELINE]).rows == log.rows


def test_another_version_is_refused(tmp_path, monkeypatch):
    RunLog(tmp_path, SETTINGS, [BASELINE]).append(BASELINE, dict(seed=0))
    monkeypatch.setattr(run_log, '__version__', '0.0.1')
    with pytest.raises(ValueError, match="version is '0.*, got '0.0.1': give"):
        RunLog(tmp_path, SETTINGS, [BASELINE])


def test_runs_of_unknown_settings_are_refused(tmp_path):
    RunLog(tmp_path, SETTINGS, [BASELINE]).append(BASELINE, dict(seed=0))
    (tmp_path / 'settings.json').unlink()
    with pytest.raises(ValueError, match='epochs is None'):
        RunLog(tmp_path, SETTINGS, [BASELINE])


def test_a_name_with_other_options_is_refused(tmp_path):
    first, other = (parse_variant(f'mine:num_neurons={n}') for n in (3, 4))
    log = RunLog(tmp_path, SETTINGS, [first])
    log.append(first, dict(seed=0, top1=50.0))
    with pytest.raises(ValueError, match="variant mine is 'num_neurons=3'"):
        RunLog(tmp_path, SETTINGS, [other])
    # Nobody asks for it: it does not matter.
    assert RunLog(tmp_path, SETTINGS, [BASELINE]).rows == log.rows
