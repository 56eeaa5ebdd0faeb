"""load_from the plain recognizer's checkpoint, in recognizers of each kind."""
import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from dsts_mmaction.tailor.specialize import specialize_config
from tests.families import (
    ROOT,
    VIDEOS,
    cut,
    list_clips,
    short_loader,
    write_clips,
)
from tests.runners import RandomClips, loader

REAL = Path(os.environ.get('SHREC17_VIDEOS', 'data/shrec17'))
HOSTS = [
    'tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb.py',
    'slowfast/slowfast_r50_8xb8-4x16x1-256e_kinetics400-rgb.py',
    'tpn/tpn-slowonly_imagenet-pretrained-r50_8xb8-8x8x1-150e_kinetics400'
    '-rgb.py',
    'swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb'
    '.py',
    'uniformerv2/uniformerv2-base-p16-res224_clip_8xb32-u8_kinetics400-rgb'
    '.py',
    'videomae/vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400.py',
]


@pytest.fixture(scope='module', params=['generated', 'real'])
def folder(request, tmp_path_factory):
    """A folder with a list of clips."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == 'generated':
        return write_clips(folder)
    if not (REAL / 'test.txt').is_file():
        pytest.skip(f'{REAL} has no test.txt: set SHREC17_VIDEOS to a folder '
                    'with one, lines PATH LABEL')
    return list_clips(folder, REAL)


def runner_of(cfg, work_dir, **options):
    return Runner(
        model=cfg.model, work_dir=str(work_dir), default_scope='mmaction',
        log_level='INFO', experiment_name=work_dir.name, **options)


def train(cfg, size, frames, folder, work_dir):
    """The checkpoint of three iterations."""
    if 'train_dataloader' in cfg:
        data = short_loader(cfg, 'train', size, folder)
    else:
        data = loader(RandomClips(VIDEOS, (1, 3, frames, size, size)))
    runner_of(
        cfg, work_dir, train_dataloader=data,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01))).train()
    return str(work_dir / 'epoch_3.pth')


def predict(cfg, checkpoint, size, folder, work_dir):
    """Scores of the config's own test, shape (videos, classes)."""
    out = work_dir / 'scores.npz'
    runner_of(
        cfg, work_dir, load_from=checkpoint,
        test_dataloader=short_loader(cfg, 'test', size, folder),
        test_cfg=dict(type='TestLoop'), test_evaluator=dict(
            type='FineGrainedMetric', scores_file=str(out))).test()
    return np.load(out)['scores']


# One of a head, one of a layer; the others take longer.
@pytest.mark.parametrize('host', [
    pytest.param(host, id=os.path.dirname(host), marks=[
        *([] if host.startswith(('tsm', 'videomae')) else
          [pytest.mark.slow])]) for host in HOSTS])
def test_predictions_are_those_of_the_plain_recognizer(
        host, folder, tmp_path, one_thread):
    cfg, size, frames = cut(Config.fromfile(ROOT / host))
    checkpoint = train(cfg, size, frames, folder, tmp_path / 'plain')
    before = predict(cfg, checkpoint, size, folder, tmp_path / 'plain_test')
    after = predict(specialize_config(cfg), checkpoint, size, folder,
                    tmp_path / 'specialized_test')
    assert np.isfinite(before).all() and np.ptp(before) > 0
    np.testing.assert_allclose(after, before, atol=1e-5, rtol=0)


def test_a_head_of_another_class_count_is_told_and_starts_anew(
        tmp_path, one_thread):
    folder = write_clips(tmp_path)
    cfg, size, frames = cut(Config.fromfile(ROOT / HOSTS[0]))
    checkpoint = train(cfg, size, frames, folder, tmp_path / 'plain')
    cfg.model.cls_head.num_classes = 7
    scores = predict(specialize_config(cfg), checkpoint, size, folder,
                     tmp_path / 'test')
    assert scores.shape == (VIDEOS, 7)
    log, = (tmp_path / 'test').glob('*/*.log')
    text = log.read_text()
    assert 'DSTS starts as the identity' in text
    assert ('everything else is: cls_head.head.fc_cls.weight (7, 2048), '
            'there (174, 2048); cls_head.head.fc_cls.bias (7,), there '
            '(174,).') in text
