import io
import json
import os
import sys
import time

import pytest
from rich.console import Console

from dsts_mmaction import demo
from tests.test_utils.test_training_log import train_lines, write

def test_finished_test_is_recognized(tmp_path):
    assert demo.read_metrics(str(tmp_path / 'absent')) is None
    stopped = tmp_path / '20260101_120000'
    write(stopped / '20260101_120000.log', '')
    assert demo.read_metrics(str(tmp_path)) is None
    done = tmp_path / '20260101_110000'
    write(
        done / '20260101_110000.json',
        '{"acc/top1": 0.75, "acc/top5": 0.9, "acc/mean1": 0.74, '
        '"data_time": 0.03, "time": 0.2}')
    assert demo.read_metrics(str(tmp_path))['acc/top1'] == 0.75


def test_table():
    results = [
        demo.Result('TSM', 0.7254, 0.72, 11_182_668, 0.41234),
        demo.Result('TSM + DSTS', 0.8, 0.79, 12_000_000, None)
    ]
    rows = demo.result_rows(results)
    assert rows[1] == ['TSM', '72.5', '72.0', '11.18', '0.412']
    text = demo.markdown_table(rows)
    assert text.splitlines()[1] == '| :-- | --: | --: | --: | --: |'
    assert text.splitlines()[3].endswith('| 12.00 | n/a |')
    console = Console(file=io.StringIO(), width=100)
    console.print(demo.rich_table(rows))
    assert 'TSM + DSTS' in console.file.getvalue()


def test_other_settings_are_refused(tmp_path):
    work_dir = str(tmp_path / 'demo')
    demo.check_settings(work_dir, dict(seed=0, data=[1, 2]))
    demo.check_settings(work_dir, dict(seed=0, data=[1, 2]))
    with pytest.raises(demo.DemoError, match='with another seed:'):
        demo.check_settings(work_dir, dict(seed=1, data=[1, 2]))


def test_failed_step_shows_end_of_log(tmp_path):
    log = tmp_path / 'logs' / 'step.log'
    script = tmp_path / 'train.py'
    script.write_text('for i in range(40): print("line", i)\nexit(3)')
    with pytest.raises(demo.DemoError) as error:
        demo.run_step([sys.executable, str(script)], str(log), lambda: None)
    message = str(error.value)
    assert 'line 39' in message and 'line 20' not in message
    assert 'train.py failed with exit status 3' in message
    assert str(log) in message


def test_interrupted_step_ends_its_process(tmp_path):
    script = tmp_path / 'train.py'
    pid_file = tmp_path / 'pid'
    script.write_text('import os, time\n'
                      f'open({str(pid_file)!r}, "w").write(str(os.getpid()))\n'
                      'time.sleep(60)')

    def interrupt():
        if pid_file.exists() and pid_file.read_text():
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        demo.run_step([sys.executable, str(script)],
                      str(tmp_path / 'step.log'), interrupt)
    assert time.monotonic() - begin < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def fake_checkout(tmp_path, monkeypatch):
    """Configs and tools that only leave files, and a call counter."""
    root = tmp_path / 'checkout'
    for name in demo.CONFIGS.values():
        write(
            root / demo.CONFIG_DIR / name,
            'train_cfg = dict(max_epochs=2)\n'
            'train_dataloader = dict(batch_size=16)\n')
    write(
        root / 'tools' / 'train.py', 'import os, sys\n'
        'work = sys.argv[sys.argv.index("--work-dir") + 1]\n'
        'logs = os.path.join(work, "20260101_100000", "vis_data")\n'
        'os.makedirs(logs)\n'
        f'open(os.path.join(logs, "scalars.json"), "w").write('
        f'{train_lines(5, 90, .5)!r})\n'
        'open(os.path.join(work, "epoch_2.pth"), "w")\n'
        'open(os.path.join(work, "last_checkpoint"), "w").write('
        '"epoch_2.pth")\n')
    write(
        root / 'tools' / 'test.py', 'import os, sys\n'
        'work = sys.argv[sys.argv.index("--work-dir") + 1]\n'
        'name = "20260101_110000"\n'
        'os.makedirs(os.path.join(work, name))\n'
        'open(os.path.join(work, name, name + ".json"), "w").write('
        '\'{"acc/top1": 0.5, "acc/mean1": 0.25}\')\n')
    monkeypatch.setattr(demo, 'NUM_CLIPS', dict(train=12, val=12, test=12))
    monkeypatch.setattr(demo, 'POLL_SECONDS', 0.02)
    monkeypatch.setattr(demo, '_count_parameters', lambda cfg: 1000)
    calls = []
    run_step = demo.run_step

    def counted(command, *args, **kwargs):
        calls.append(os.path.basename(command[1]))
        run_step(command, *args, **kwargs)

    monkeypatch.setattr(demo, 'run_step', counted)
    return root, calls


def test_demo_goes_on_where_it_was(tmp_path, monkeypatch):
    root, calls = fake_checkout(tmp_path, monkeypatch)
    work_dir = tmp_path / 'work'

    def run(seed=0):
        console = Console(file=io.StringIO(), width=100)
        results = demo.run_demo(
            str(root), str(work_dir), str(tmp_path / 'data'), seed, console)
        return results, console.file.getvalue()

    results, text = run()
    assert calls == ['train.py', 'test.py'] * 2
    assert [r.name for r in results] == list(demo.CONFIGS)
    assert results[0].mean_class == 0.25
    assert results[0].seconds_per_iter == pytest.approx(.5)
    report = work_dir / 'results.md'
    assert '| TSM + DSTS | 50.0 | 25.0 | 0.00 | 0.500 |' in report.read_text()

    assert run()[0] == results
    assert len(calls) == 4

    stem = os.path.splitext(demo.CONFIGS['TSM'])[0]
    (work_dir / stem / 'result.json').unlink()
    assert run()[0] == results
    assert len(calls) == 4  # the test's own record was still there

    name = '20260101_110000'
    (work_dir / stem / 'result.json').unlink()
    (work_dir / stem / 'test' / name / f'{name}.json').unlink()
    (work_dir / stem / 'test' / name).rmdir()
    assert run()[0] == results
    assert calls[4:] == ['test.py']

    with pytest.raises(demo.DemoError, match='another data_set, seed'):
        run(seed=1)
    settings = json.loads((work_dir / 'demo.json').read_text())
    assert settings['seed'] == 0


def test_missing_config_is_named(tmp_path):
    with pytest.raises(demo.DemoError, match='synthdive-rgb.py is missing'):
        demo.run_demo(str(tmp_path), str(tmp_path / 'w'), str(tmp_path / 'd'))
    assert os.listdir(tmp_path) == []
