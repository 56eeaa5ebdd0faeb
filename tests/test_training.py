"""Configs of ours on generated video through MMEngine's Runner: train, test,
save, resume, start from a plain checkpoint, and infer."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.datasets import SynthDiveConfig, write_dataset

CONFIGS = Path(__file__).parents[1] / 'configs'
TSM = 'tsm/tsm_r18_1xb16-1x1x8-8e_shrec17-rgb.py'
DSTS_TSM = 'tsm/dsts-tsm_r18_1xb16-1x1x8-8e_shrec17-rgb.py'
DSTS_SLOWFAST = 'slowfast/dsts-slowfast_r18_1xb16-4x8x1-8e_shrec17-rgb.py'

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='session')
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp('synthdive')
    write_dataset(SynthDiveConfig(size=32), str(root),
                  dict(train=12, val=12, test=12), progress=False)
    return root


def config(name, videos, work_dir, **overrides):
    cfg = Config.fromfile(CONFIGS / name)
    cfg.merge_from_dict(overrides)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.batch_size = 6
        loader.num_workers = 0
        loader.persistent_workers = False
        loader.dataset.data_root = str(videos)
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (32, 32)
            if step.type == 'SampleFrames' and step.clip_len == 32:
                step.clip_len = 8
    if 'SlowFast' in cfg.model.backbone.type:
        cfg.model.backbone.resample_rate = 4
        cfg.model.backbone.speed_ratio = 4
    cfg.train_cfg.max_epochs = overrides.get('train_cfg.max_epochs', 1)
    cfg.work_dir = str(work_dir)
    cfg.default_hooks.logger.interval = 1
    cfg.randomness = dict(seed=0)
    return cfg


def run(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def logged(runner, name):
    return runner.message_hub.log_scalars[f'train/{name}'].data[0]


@pytest.mark.parametrize('name, suffix', [(DSTS_TSM, ''),
                                          (DSTS_SLOWFAST, '_pathway1')])
def test_train_test_save_and_resume(name, suffix, videos, tmp_path):
    first = run(config(name, videos, tmp_path))
    for key in ('loss', 'loss_cls', f'loss_dsts_balance{suffix}',
                f'loss_dsts_router_z{suffix}', f'dsts_largest_share{suffix}'):
        values = logged(first, key)
        assert len(values) == 2 and all(v > 0 for v in values), key
    parts = [scalar.data[0][0]
             for key, scalar in first.message_hub.log_scalars.items()
             if key.startswith('train/loss_')]
    assert logged(first, 'loss')[0] == pytest.approx(sum(parts), rel=1e-5)
    checkpoint = tmp_path / 'epoch_1.pth'
    assert checkpoint.exists()

    cfg = config(name, videos, tmp_path / 'test', load_from=str(checkpoint))
    tester = Runner.from_cfg(cfg)
    metrics = tester.test()
    assert 0 <= metrics['acc/top1'] <= 1 and 'acc/mean1' in metrics
    saved = first.model.state_dict()
    assert all(torch.equal(v, saved[k])
               for k, v in tester.model.state_dict().items())

    resumed = Runner.from_cfg(
        config(name, videos, tmp_path, resume=True,
               **{'train_cfg.max_epochs': 2}))
    resumed.train()
    assert resumed.epoch == 2 and resumed.iter == 4
    assert len(logged(resumed, 'loss')) == 4
    momentum = resumed.optim_wrapper.optimizer.state
    module = next(dsts_modules(resumed.model))
    readout = momentum[module.readout.linear.weight]
    assert readout['momentum_buffer'].abs().sum() > 0
    assert (tmp_path / 'epoch_2.pth').exists()


def test_plain_checkpoint_with_ema_starts_the_specialized_model(
        videos, tmp_path):
    ema = dict(custom_hooks=[dict(type='EMAHook', momentum=0.5)])
    plain = run(config(TSM, videos, tmp_path / 'plain', **ema))
    runner = Runner.from_cfg(
        config(DSTS_TSM, videos, tmp_path / 'dsts',
               load_from=str(tmp_path / 'plain' / 'epoch_1.pth'), **ema))
    # EMAHook makes its copy before the run and fills it from load_from.
    runner.call_hook('before_run')
    runner.load_or_resume()
    # A checkpoint of EMAHook holds the averaged weights as the model's.
    averaged = plain.hooks[[type(h).__name__ for h in plain.hooks
                            ].index('EMAHook')].ema_model.module.state_dict()
    hook = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook')
    for model in (runner.model, hook.ema_model.module):
        state = model.state_dict()
        for key, value in averaged.items():
            key = key.replace('cls_head.', 'cls_head.head.')
            assert torch.equal(state[key], value), key
    module = next(dsts_modules(hook.ema_model))
    assert not module.readout.linear.weight.any()


def test_resume_with_ema(videos, tmp_path):
    ema = dict(custom_hooks=[dict(type='EMAHook', momentum=0.5)])
    run(config(DSTS_TSM, videos, tmp_path, **ema))
    resumed = run(
        config(DSTS_TSM, videos, tmp_path, resume=True,
               **{'train_cfg.max_epochs': 2}, **ema))
    assert resumed.epoch == 2


def test_inference_on_one_video(videos, tmp_path):
    from mmaction.apis import (
        MMAction2Inferencer,
        inference_recognizer,
        init_recognizer,
    )
    cfg = config(DSTS_TSM, videos, tmp_path)
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
    run(cfg)
    video = str(next((videos / 'videos').glob('*.mp4')))
    weights = str(tmp_path / 'epoch_1.pth')
    model = init_recognizer(cfg, weights, device='cpu')
    result = inference_recognizer(model, video)
    assert result.pred_score.shape == (14, )
    assert result.pred_score.sum().item() == pytest.approx(1, abs=1e-5)
    dumped = tmp_path / 'config.py'
    cfg.dump(dumped)
    inferencer = MMAction2Inferencer(
        rec=str(dumped), rec_weights=weights, device='cpu')
    scores = inferencer(video)['predictions'][0]['rec_scores'][0]
    torch.testing.assert_close(
        torch.tensor(scores), result.pred_score, rtol=1e-4, atol=1e-5)
