"""tools/specialize.py: what it writes trains, what it cannot use it names."""
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from dsts_mmaction.tailor.fine_tuning import OwnData, fine_tuning_config
from dsts_mmaction.tailor.inheriting import load_as_base
from dsts_mmaction.utils.configs import load_config, zoo_checkpoint
from tests.test_benchmark.host import write_clips, write_host

TOOLS = Path(__file__).parents[2] / 'tools'
MAIN = runpy.run_path(str(TOOLS / 'specialize.py'))['main']
TSM = ('mmaction::recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e'
       '_sthv2-rgb.py')
VIDEOMAE = ('mmaction::recognition/videomae/vit-base-p16_videomae-k400-pre_'
            '16x4x1_kinetics-400.py')


def run(*args, tool='specialize.py', cwd=None):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', str(TOOLS / tool), *map(str, args)],
        capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Arguments for one's own data, five classes."""
    root = write_clips(tmp_path_factory.mktemp('clips'),
                       dict(train=8, val=4))
    return ['--num-classes', '5', '--data-root', root,
            '--ann-train', f'{root}/train.txt', '--ann-val',
            f'{root}/val.txt']


def test_the_written_config_trains_on_own_data(data, tmp_path):
    write_host(tmp_path / 'tiny.py')
    done = run('tiny.py', *data, '--epochs', 1, '--udl', 2, '--num-neurons',
               3, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = tmp_path / 'dsts-udl-tiny.py'
    assert f'python tools/train.py {written.name}' in done.stdout
    trained = run(written, '--work-dir', tmp_path / 'work', tool='train.py',
                  cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / 'work' / 'epoch_1.pth').exists()

    again = run('tiny.py', '--udl', 2, cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr.startswith('error: dsts-udl-tiny.py exists')
    forced = run('tiny.py', '--udl', 2, '--force', cwd=tmp_path)
    assert forced.returncode == 0, forced.stderr
    # Without data, only the recognizer changes.
    assert 'dataloader' not in written.read_text()


def test_mistakes_are_one_sentence_and_write_nothing(
        data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_host(tmp_path / 'tiny.py')
    root = data[3]
    (tmp_path / 'empty.txt').touch()
    (tmp_path / 'far.txt').write_text('videos/0.mp4 5\n')
    (tmp_path / 'gone.txt').write_text('videos/gone.mp4 0\n')
    (tmp_path / 'notes.txt').write_text('notes.txt 0\n')
    for name, line in (('tab', 'a.mp4\t0\n'), ('space', 'my a.mp4 0\n'),
                       ('blank', 'videos/train_0.mp4 0\n\n')):
        (tmp_path / f'{name}.txt').write_text(line)
    (tmp_path / 'bytes.txt').write_bytes(b'\xff\xfe')
    (tmp_path / 'folder.py').mkdir()
    (tmp_path / 'typo.py').write_text('model = dict(\n')
    (tmp_path / 'none.py').write_text('lr = 1\n')
    (tmp_path / 'junk.pth').write_bytes(b'junk')
    torch.save(dict(other=torch.zeros(1)), tmp_path / 'other.pth')
    before = sorted(tmp_path.iterdir())
    for args, message in (
            (['nothing.py'], "config 'nothing.py' does not exist"),
            (['tiny.py', '--num-neurons', 0], 'num_neurons must be an'),
            (['tiny.py', *data[:2]], 'missing: --data-root, --ann-train'),
            (['tiny.py', '--epochs', 3], '--epochs needs your own data'),
            (['tiny.py', *data, '--num-classes', 1], 'at least 2, got 1'),
            (['tiny.py', *data, '--ann-val', 'gone-too.txt'],
             'gone-too.txt cannot be read: No such file'),
            (['tiny.py', *data, '--ann-val', 'empty.txt'],
             'empty.txt is empty'),
            (['tiny.py', *data, '--ann-val', 'far.txt'],
             'line 1, must end in a label from 0 to 4, got'),
            (['tiny.py', *data, '--ann-test', 'gone.txt'],
             f'{root}/videos/gone.mp4, does not exist'),
            (['tiny.py', *data, '--data-root', tmp_path, '--ann-train',
              'notes.txt'], 'notes.txt, cannot be read by decord'),
            *((['tiny.py', *data, '--ann-val', f'{name}.txt'],
               f'{name}.txt, line {number}, must be PATH LABEL with one space')
              for name, number in (('tab', 1), ('space', 1), ('blank', 2))),
            (['tiny.py', *data, '--ann-val', 'bytes.txt'], 'is no text file'),
            (['tiny.py', '--out', 'folder.py'], '--out must be a file that'),
            (['tiny.py', '--out', 'a.txt'], '--out must be a file that'),
            (['typo.py'], "config 'typo.py' cannot be read"),
            (['none.py'], 'it has no model.backbone'),
            (['mmaction::skeleton/stgcn/stgcn_8xb16-joint-u100-80e_ntu60-xsub'
              '-keypoint-2d.py'], 'model.type is RecognizerGCN'),
            (['tiny.py', '--gpus', 2], '--gpus needs your own data'),
            (['tiny.py', '--load-from', 'junk.pth'],
             'junk.pth is no checkpoint'),
            (['tiny.py', '--load-from', 'other.pth'],
             'other.pth has no tensor of the recognizer'),
            (['tiny.py', '--no-flip'], '--no-flip needs your own data'),
            ([VIDEOMAE, *data], 'does not train, it has no train_dataloader'),
            (['tiny.py', '--load-from', 'no.pth'], '--load-from no.pth')):
        monkeypatch.setattr(sys, 'argv', ['specialize.py', *map(str, args)])
        with pytest.raises(SystemExit) as end:
            MAIN()
        last = str(end.value)  # Python prints it, and returns 1
        assert last.startswith('error: ') and message in last, last
        assert '\n' not in last
        assert sorted(tmp_path.iterdir()) == before


def test_fine_tuning_config():
    cfg = load_as_base(TSM)
    before = cfg.to_dict()
    lists = dict(train='data/mine/train.txt', val='elsewhere/val.txt')
    tuned, remarks = fine_tuning_config(
        cfg, OwnData(9, lists, 'data/mine', 20, 2))
    assert cfg.to_dict() == before
    assert tuned.model.cls_head.num_classes == 9
    train = tuned.train_dataloader.dataset
    assert (train.data_root, train.ann_file) == ('data/mine', 'train.txt')
    assert train.data_prefix.video == ''
    # A list elsewhere; without one for testing, that of validation.
    for split in ('val', 'test'):
        assert tuned[f'{split}_dataloader'].dataset.ann_file == str(
            Path('elsewhere/val.txt').resolve())
    assert tuned.train_cfg.max_epochs == 20
    assert tuned.param_scheduler[1].milestones == [10, 18]
    # 0.02 is for 8 x 16 clips.
    assert tuned.optim_wrapper.optimizer.lr == 0.02 * 32 / 128
    assert tuned.auto_scale_lr.base_batch_size == 32
    # Its flip swaps labels of other classes.
    assert 'Flip' not in [step.type for step in train.pipeline]
    assert len(remarks) == 2 and remarks[0].startswith('Flip is left out')


def test_a_plain_flip_is_kept_and_told():
    cfg = load_config('mmaction::recognition/tsn/tsn_imagenet-pretrained-r50_'
                      '8xb32-1x1x3-100e_kinetics400-rgb.py')
    lists = dict(train='train.txt', val='val.txt', test='test.txt')
    tuned, remarks = fine_tuning_config(
        cfg, OwnData(4, lists, '.', gpus=8))
    pipeline = tuned.train_dataloader.dataset.pipeline
    assert 'Flip' in [step['type'] for step in pipeline]
    assert tuned.test_dataloader.dataset.ann_file == 'test.txt'
    assert tuned.optim_wrapper == cfg.optim_wrapper
    assert len(remarks) == 1 and 'left and right' in remarks[0]


def test_without_a_batch_size_the_learning_rate_stays(tmp_path):
    cfg = Config.fromfile(write_host(tmp_path / 'tiny.py'))
    lists = dict(train='train.txt', val='val.txt')
    tuned, remarks = fine_tuning_config(
        cfg, OwnData(4, lists, '.', gpus=8))
    assert tuned.optim_wrapper == cfg.optim_wrapper
    assert 'as it was, ' in remarks[0] and 'yours is ' in remarks[0]


@pytest.mark.parametrize('name, message', [
    ('tanet/tanet_imagenet-pretrained-r50_8xb8-1x1x8-50e_sthv1-rgb.py',
     'train_dataloader.dataset is a RawframeDataset'),
    ('omnisource/slowonly_r50_8xb16-8x8x1-256e_imagenet-kinetics400-rgb.py',
     'model.type is RecognizerOmni'),
    ('slowonly/slowonly_imagenet-pretrained-r50_32xb8-8x8x1-steplr-150e_'
     'kinetics710-rgb.py', 'must read one annotation list')])
def test_configs_that_are_not_for_one_list_of_videos(name, message):
    cfg = load_config(f'mmaction::recognition/{name}')
    with pytest.raises(ValueError, match=message):
        fine_tuning_config(
            cfg, OwnData(4, dict(train='a', val='b'), '.'))


def test_flips_can_be_left_out():
    cfg = load_config(TSM)
    tuned, _ = fine_tuning_config(
        cfg, OwnData(4, dict(train='a', val='b'), '.', flip=False))
    steps = [step.type for step in cfg.train_pipeline]
    assert 'Flip' in steps
    assert [step.type for step in tuned.train_dataloader.dataset.pipeline] == [
        step for step in steps if step != 'Flip']


def test_training_starts_from_the_weights_of_mmaction(data, tmp_path):
    out = tmp_path / 'out.py'
    done = run(TSM, *data, '--out', out)
    assert done.returncode == 0, done.stderr
    cfg = Config.fromfile(out)
    assert cfg.load_from.startswith('https://') and cfg.load_from.endswith(
        '.pth') and 'tsm_imagenet-pretrained-r50_8xb16-1x1x8' in cfg.load_from
    assert f'Training starts from {cfg.load_from}' in done.stdout
    # Nothing else is downloaded.
    assert cfg.model.backbone.pretrained is None
    done = run(TSM, *data, '--out', out, '--force', '--load-from', 'none')
    assert done.returncode == 0, done.stderr
    cfg = Config.fromfile(out)
    assert cfg.load_from is None and cfg.model.backbone.pretrained


def test_weights_are_found_where_the_metafile_spells_the_name_otherwise():
    folder = 'mmaction::recognition/tsm/'
    for name in ('tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb',
                 'tsm_imagenet-pretrained-r50_8xb16-1x1x8-100e_kinetics400-'
                 'rgb'):
        assert f'/{name}/' in zoo_checkpoint(f'{folder}{name}.py')
    assert zoo_checkpoint(
        'mmaction::recognition/tpn/tpn-slowonly_r50_8xb8-8x8x1-150e_'
        'kinetics400-rgb.py') != zoo_checkpoint(
        'mmaction::recognition/tpn/tpn-slowonly_imagenet-pretrained-r50_8xb8-'
        '8x8x1-150e_kinetics400-rgb.py')
    assert zoo_checkpoint('my.py') is None


def test_a_head_of_other_classes_is_not_loaded_from_a_checkpoint():
    cfg = load_config(
        'mmaction::recognition/uniformerv2/uniformerv2-base-p16-res224_clip-'
        'kinetics710-pre_8xb32-u8_kinetics400-rgb.py')
    assert cfg.model.cls_head.init_cfg.type == 'Pretrained'
    tuned, _ = fine_tuning_config(
            cfg, OwnData(4, dict(train='a', val='b'), '.'))
    assert 'init_cfg' not in tuned.model.cls_head
