"""MMAction2's scripts through ours, on a tiny recognizer."""
import runpy
import sys

import cv2
import mmaction
import numpy as np
import pytest
import torch

from dsts_mmaction.compat import host_tools
from tests.test_compat.helpers import CHECKOUT, run_python

CONFIG = '''
default_scope = 'mmaction'
custom_imports = dict(imports=['dsts_mmaction'], allow_failed_imports=False)
model = dict(
    type='Recognizer2D',
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[0.], std=[255.],
        format_shape='NCHW'),
    backbone=dict(
        type='ResNetTSM', depth=18, pretrained=None, num_segments=2,
        norm_eval=False),
    cls_head=dict(
        type='TSMHead', num_classes=2, in_channels=512, num_segments=2,
        dropout_ratio=0., average_clips='prob', topk=1))
pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=2,
         test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(32, 32), keep_ratio=False),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='VideoDataset', ann_file='{folder}/list.txt',
        data_prefix=dict(video='{folder}'), pipeline=pipeline))
val_dataloader = train_dataloader
test_dataloader = train_dataloader
val_evaluator = dict(
    type='AccMetric', metric_options=dict(top_k_accuracy=dict(topk=(1, ))))
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=.01, momentum=.9))
default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
custom_hooks = [dict(type='EMAHook')]
env_cfg = dict(
    mp_cfg=dict(mp_start_method='fork'), dist_cfg=dict(backend='gloo'))
'''


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """A config of a tiny recognizer beside four tiny videos."""
    folder = tmp_path_factory.mktemp('tiny')
    noise = np.random.default_rng(0)
    for i in range(4):
        video = cv2.VideoWriter(
            str(folder / f'{i}.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 25,
            (32, 32))
        for _ in range(4):
            video.write(noise.integers(0, 255, (32, 32, 3), np.uint8))
        video.release()
    lines = [f'{i}.mp4 {i % 2}\n' for i in range(4)]
    (folder / 'list.txt').write_text(''.join(lines))
    config = folder / 'tiny.py'
    config.write_text(CONFIG.replace('{folder}', str(folder)))
    return config


def arguments(config, work_dir, *more):
    return [config, *more, '--work-dir', config.parent / work_dir]


@pytest.fixture(scope='module')
def trained(tiny):
    """The work_dir of one epoch with --amp."""
    output = run_python(CHECKOUT / 'tools/train.py',
                        *arguments(tiny, 'work', '--amp'), cwd=tiny.parent)
    assert 'acc/top1' in output
    return tiny.parent / 'work'


def test_train(trained):
    checkpoint = torch.load(trained / 'epoch_1.pth')
    assert 'ema_state_dict' in checkpoint
    assert 'loss' in str(checkpoint['message_hub']['log_scalars'].keys())


def run_here(monkeypatch, capsys, script, *args):
    """What a script prints, run in this process."""
    monkeypatch.setattr(sys, 'argv', ['', *map(str, args)])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    runpy.run_path(str(CHECKOUT / 'tools' / script), run_name='__main__')
    return capsys.readouterr().out


def test_resume(tiny, trained, monkeypatch, capsys):
    output = run_here(
        monkeypatch, capsys, 'train.py', *arguments(tiny, 'work', '--resume'),
        '--cfg-options', 'train_cfg.max_epochs=2')
    assert 'Epoch(train) [2]' in output
    assert 'Epoch(train) [1]' not in output


def test_test(tiny, trained, monkeypatch, capsys):
    output = run_here(monkeypatch, capsys, 'test.py',
                      *arguments(tiny, 'work', trained / 'epoch_1.pth'))
    assert 'acc/top1' in output


@pytest.mark.slow
def test_two_ranks(tiny):
    output = run_python(
        '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2',
        CHECKOUT / 'tools/train.py',
        *arguments(tiny, 'ranks', '--launcher', 'pytorch'), cwd=tiny.parent)
    # Four videos on two ranks are one batch of two for each.
    assert 'Epoch(train) [1][1/1]' in output
    assert 'acc/top1' in output
    assert (tiny.parent / 'ranks' / 'epoch_1.pth').is_file()


@pytest.mark.slow
def test_confusion_matrix(tiny, trained):
    """This tool imports mmaction.models before it reads the config."""
    out = tiny.parent / 'matrix.pkl'
    run_python(CHECKOUT / 'tools/host_tool.py',
               'analysis_tools/confusion_matrix.py', tiny,
               trained / 'epoch_1.pth', '--out', out, cwd=tiny.parent)
    assert out.is_file()


@pytest.mark.slow
@pytest.mark.parametrize('name', ['train.py', 'test.py'])
def test_script_of_the_host(tiny, trained, name):
    """Called directly, with custom_imports in the config alone."""
    checkpoint = [trained / 'epoch_1.pth'] if name == 'test.py' else []
    run_python(host_tools.find_tool(name),
               *arguments(tiny, 'direct', *checkpoint), cwd=tiny.parent)


def test_tool_gets_its_arguments(tmp_path, monkeypatch, capsys):
    (tmp_path / 'misc').mkdir()
    (tmp_path / 'misc' / 'show.py').write_text(
        'import sys\nprint(__name__, *sys.argv)')
    monkeypatch.setattr(host_tools, 'tools_folder', lambda: tmp_path)
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    host_tools.run_tool('misc/show.py', ['a', '--b=c'])
    script = tmp_path / 'misc' / 'show.py'
    assert capsys.readouterr().out == f'__main__ {script} a --b=c\n'


@pytest.mark.parametrize('name', ['trian.py', '../../../setup.py', ''])
def test_no_such_tool(name):
    with pytest.raises(SystemExit) as error:
        host_tools.run_tool(name, [])
    assert repr(name) in str(error.value)
    assert 'analysis_tools/get_flops.py' in str(error.value)


def test_mmaction_without_tools(monkeypatch, tmp_path):
    monkeypatch.setattr(mmaction, '__file__', str(tmp_path / '__init__.py'))
    with pytest.raises(FileNotFoundError, match='editable install'):
        host_tools.tools_folder()
