"""The benchmark measures and writes what it promises."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.optim.groups import upstream_group
from tools import bench_speed
from tools.bench_iterations import VARIANTS, Training
from tools.bench_speed import R18

TOOL = Path(__file__).parents[2] / 'tools' / 'bench_speed.py'


def run(*args):
    return subprocess.run([sys.executable, str(TOOL), *args],
                          capture_output=True, text=True)


def test_rows_are_written_with_their_bars(tmp_path):
    out = tmp_path / 'speed.json'
    done = run('--only', 'train_n64_vs_n4_m64', 'mix_plain_vs_ours_n64',
               '--rounds', '2', '--json', str(out))
    assert done.returncode == 0, done.stderr
    growth, mixing = json.loads(out.read_text())
    assert set(growth) == {'name', 'value', 'spread', 'bar', 'met'}
    assert growth['name'] == 'train_n64_vs_n4_m64'
    assert growth['bar'] == '<= 1.5'
    assert growth['met'] == (growth['value'] <= 1.5)
    low, high = growth['spread']
    assert 0 < low <= growth['value'] <= high
    assert mixing['bar'] is None and mixing['met'] is None
    assert 'train_n64_vs_n4_m64' in done.stdout
    assert list(tmp_path.iterdir()) == [out]


def test_unknown_row_is_refused_with_the_known_ones():
    done = run('--only', 'nothing')
    assert done.returncode == 2
    assert 'nothing' in done.stderr and 'train_n64_vs_n4' in done.stderr


@pytest.mark.parametrize('args, message', [
    (['--rounds', '1'], '--rounds must be 2 or more, got 1.'),
    (['--json', '/'], '--json must be a file, got the folder /.')])
def test_mistakes_are_told_before_anything_runs(args, message, monkeypatch,
                                                capsys):
    monkeypatch.setattr(sys, 'argv', ['bench_speed.py', *args])
    with pytest.raises(SystemExit):
        bench_speed.main()
    assert message in capsys.readouterr().err


def test_a_row_that_lacks_something_is_left_out(monkeypatch, capsys,
                                                tmp_path):
    names = ['train_n64_vs_n4', 'mix_plain_vs_ours_n64']
    out, table = tmp_path / 'a.json', tmp_path / 'a.md'
    monkeypatch.setitem(bench_speed.ROWS, names[0], bench_speed.ROWS[
        names[0]]._replace(missing=lambda: 'a machine'))
    monkeypatch.setattr(sys, 'argv', ['bench_speed.py', '--rounds', '2',
                                      '--json', str(out), '--markdown',
                                      str(table), '--only', *names])
    bench_speed.main()
    assert [row['name'] for row in json.loads(out.read_text())] == names[1:]
    assert (capsys.readouterr().err
            == 'left out: train_n64_vs_n4 needs a machine\n')
    text = table.read_text()
    assert '| mix_plain_vs_ours_n64 | mixing kernels' in text
    assert 'Left out: train_n64_vs_n4 needs a machine.\n' in text
    assert '- Command: `python tools/bench_speed.py --rounds 2' in text
    assert torch.__version__ in text


@pytest.mark.parametrize('variant', VARIANTS)
def test_iterations_train_what_they_say(variant):
    training = Training(variant, R18._replace(batch=4, size=32))
    runner = training.runner
    upstream = [p for m in dsts_modules(runner.model)
                for p in m.upstream_parameters()]
    # Upstream, a synapse's weight comes first.
    watched = [runner.model.backbone.conv1.conv.weight, *upstream[:1]]
    before = [p.detach().clone() for p in watched]
    training()
    assert runner.iter == 1
    assert not any(torch.equal(a, b) for a, b in zip(watched, before))
    assert bool(upstream) == (variant != 'base')
    if upstream:
        group = upstream_group(runner.optim_wrapper.optimizer)
        assert bool(group['params']) == (variant == 'joint')
    if variant in ('udl1', 'udl2', 'generic'):
        assert all(p.grad is None for p in upstream)
    hooks = {type(hook).__name__: hook for hook in runner.hooks}
    hook = hooks.get('UpstreamDownstreamHook')
    options = getattr(hook, 'options', None)
    assert getattr(options, 'order', None) == dict(udl1=1, udl2=2).get(
        variant)
    logged = 'train/upstream_loss' in runner.message_hub.log_scalars
    assert logged == (hook is not None)
