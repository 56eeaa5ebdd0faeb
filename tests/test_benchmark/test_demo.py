import io
import json
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from mmaction.registry import METRICS
from mmengine.config import Config
from rich.console import Console

from dsts_mmaction.benchmark import demo
from dsts_mmaction.evaluation import FineGrainedMetric
from tests.test_utils.test_training_log import train_lines, write


def test_finished_test_is_recognized(tmp_path):
    path = tmp_path / 'test' / 'predictions.json'
    write(tmp_path / 'test' / '20260101_120000' / '20260101_120000.log', '')
    assert demo.read_test(str(path)) is None
    sample = dict(pred_score=torch.eye(2)[0], gt_label=torch.tensor([0]))
    metric = FineGrainedMetric(topk=(1, ), out_file=str(path))
    metric.process(None, [sample])
    metric.evaluate(1)
    test = demo.read_test(str(path))
    assert test['metrics'] == {'acc/top1': 1, 'acc/mean1': 1}
    assert test['predictions'] == [0]


def test_table():
    results = [
        demo.Result('TSN', 0.7254, 0.72, 11_182_668, 0.41234, [0]),
        demo.Result('TSN + DSTS', 0.8, 0.79, 12_000_000, None, [0])
    ]
    rows = demo.result_rows(results)
    assert rows[1] == ['TSN', '72.5', '72.0', '11.18', '0.412']
    text = demo.markdown_table(rows)
    assert text.splitlines()[1] == '| :-- | --: | --: | --: | --: |'
    assert text.splitlines()[3].endswith('| 12.00 | n/a |')
    console = Console(file=io.StringIO(), width=100)
    console.print(demo.rich_table(rows))
    assert 'TSN + DSTS' in console.file.getvalue()


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


def fake_checkout(tmp_path, monkeypatch, plain_wins=False):
    """Configs and tools that only leave files, and a call counter.

    One recognizer takes the clip of class 3 for class 9.
    """
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
        root / 'tools' / 'test.py', 'import json, os, sys\n'
        'key, path = sys.argv[-1].split("=")\n'
        'assert key == "test_evaluator.out_file"\n'
        'os.makedirs(os.path.dirname(path))\n'
        'predictions = list(range(12))\n'
        f'if not {plain_wins} == ("dsts-" not in sys.argv[1]):\n'
        '    predictions[3] = 9\n'
        'json.dump({"metrics": {"acc/top1": 0.5, "acc/mean1": 0.25},\n'
        '           "predictions": predictions}, open(path, "w"))\n')
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
    assert '| TSN + DSTS | 50.0 | 25.0 | 0.00 | 0.500 |' in report.read_text()
    picture = work_dir / 'separated_pair.png'
    assert text.endswith(
        'Clips of forward_1_tuck and backward_1_tuck taken for each other: '
        f'1 of 2 by TSN, 0 of 2 by TSN + DSTS\nPicture in {picture}\n')
    assert picture.is_file()

    assert run()[0] == results
    assert len(calls) == 4

    stem = os.path.splitext(demo.CONFIGS['TSN'])[0]
    (work_dir / stem / 'result.json').unlink()
    assert run()[0] == results
    assert len(calls) == 4  # the test's own record was still there

    (work_dir / stem / 'result.json').unlink()
    (work_dir / stem / 'test' / 'predictions.json').unlink()
    (work_dir / stem / 'test').rmdir()
    assert run()[0] == results
    assert calls[4:] == ['test.py']

    with pytest.raises(demo.DemoError, match='another data_set, seed'):
        run(seed=1)
    settings = json.loads((work_dir / 'demo.json').read_text())
    assert settings['seed'] == 0


def test_no_pair_separated_better(tmp_path, monkeypatch):
    root, _ = fake_checkout(tmp_path, monkeypatch, plain_wins=True)
    console = Console(file=io.StringIO(), width=100)
    demo.run_demo(str(root), str(tmp_path / 'work'), str(tmp_path / 'data'),
                  console=console)
    assert console.file.getvalue().endswith(
        'TSN + DSTS confuses no pair of classes less than TSN, so none is '
        'drawn.\n')
    assert not (tmp_path / 'work' / 'separated_pair.png').exists()


def test_another_evaluator_is_another_demo(tmp_path, monkeypatch):
    root, _ = fake_checkout(tmp_path, monkeypatch)
    work_dir = str(tmp_path / 'work')
    demo.run_demo(str(root), work_dir, str(tmp_path / 'data'),
                  console=Console(file=io.StringIO()))
    with open(root / demo.CONFIG_DIR / demo.CONFIGS['TSN'], 'a') as file:
        file.write('test_evaluator = dict(type="AccMetric")\n')
    with pytest.raises(demo.DemoError, match='another configs:'):
        demo.run_demo(str(root), work_dir, str(tmp_path / 'data'))


@pytest.mark.parametrize('name', demo.CONFIGS.values())
def test_configs_test_with_predictions(name):
    root = Path(__file__).parents[2]
    cfg = Config.fromfile(root / demo.CONFIG_DIR / name)
    cfg.merge_from_dict({'test_evaluator.out_file': 'predictions.json'})
    assert METRICS.build(cfg.test_evaluator).out_file == 'predictions.json'


def test_missing_config_is_named(tmp_path):
    with pytest.raises(demo.DemoError, match='synthdive-rgb.py is missing'):
        demo.run_demo(str(tmp_path), str(tmp_path / 'w'), str(tmp_path / 'd'))
    assert os.listdir(tmp_path) == []
