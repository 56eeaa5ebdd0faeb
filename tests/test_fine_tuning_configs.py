"""The configs that fine-tune hosts of MMAction2 on fine-grained data sets.

What can be read off a config is checked for all of them. One data set of each
host is built here; all of them under ``make test-all``.
"""
import copy
import itertools
import re
import runpy
from pathlib import Path

import mmaction
import numpy as np
import pytest
import torch
from mmaction.registry import METRICS, MODELS
from mmcv.transforms import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.tailor.placement import placement
from dsts_mmaction.utils.configs import SCOPE, set_everywhere
from tests.config_files import FINE_TUNING, ROOT, assert_grouped_once, load
from tests.families import cut, short_loader, write_clips
from tests.runners import logged

MIM = Path(mmaction.__file__).parent / '.mim' / 'configs' / 'recognition'
HOSTS = ('i3d_r50', 'mvit_small', 'slowfast_r50', 'slowonly_r50', 'swin_base',
         'swin_tiny', 'tpn_tsm_r50', 'tsm_r50', 'uniformerv2_base',
         'vit_base_videomae', 'x3d_m')
# Classes, data root and lists, as docs/data_preparation.md has them.
DATA = dict(
    diving48=(48, 'data/diving48', 'train.txt', 'test.txt'),
    gym288=(288, 'data/finegym', 'gym288_train.txt', 'gym288_val.txt'),
    gym99=(99, 'data/finegym', 'gym99_train.txt', 'gym99_val.txt'),
    sthv2=(174, 'data/sthv2', 'train.txt', 'val.txt'))
SPLITS = ('train', 'val', 'test')
BUILT = {host: list(DATA)[i % len(DATA)] for i, host in enumerate(HOSTS)}


def everywhere(node, key):
    """The values of a key in nested dicts and lists."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from everywhere(child, key)


def strings(node):
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from strings(child)
    elif isinstance(node, str):
        yield node


def types(pipeline):
    return [step.type for step in pipeline]


def plain_twin(cfg):
    cfg.model.cls_head = cfg.model.cls_head.head
    return cfg


def test_every_host_has_a_config_for_every_data_set():
    assert sorted(FINE_TUNING) == sorted(itertools.product(HOSTS, DATA))
    for (_, data), name in FINE_TUNING.items():
        assert name.endswith(f'_{data}-rgb.py')
        assert '.' not in Path(name).stem
    for kind, expected in (('hosts', HOSTS), ('datasets', DATA)):
        found = {path.stem for path in (ROOT / '_base_' / kind).glob('*.py')}
        assert set(expected) == found - {'video_lists'}


def test_they_are_listed_in_the_docs():
    root = ROOT.parent
    document = runpy.run_path(str(root / 'tools' / 'list_configs.py'))[
        'document']()
    text = (root / 'docs' / 'configs.md').read_text()
    assert text == document, (
        'run tools/list_configs.py --out docs/configs.md')
    for name in FINE_TUNING.values():
        for each in (name, name.replace('/dsts-', '/dsts-udl-')):
            assert f'(../configs/{each})' in text


@pytest.mark.parametrize('host, data', FINE_TUNING)
def test_it_reads_the_prepared_data(host, data):
    cfg = load(FINE_TUNING[host, data])
    classes, data_root, train, test = DATA[data]
    assert set(everywhere(cfg.to_dict(), 'num_classes')) == {classes}
    if host == 'tpn_tsm_r50':
        assert cfg.model.neck.aux_head_cfg.out_channels == classes
    for split, ann_file in zip(SPLITS, (train, test, test)):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.type == 'VideoDataset'
        assert dataset.data_root == data_root
        assert dataset.ann_file == ann_file
        assert dataset.data_prefix == dict(video='')
        assert dataset.get('test_mode', False) == (split != 'train')
        Compose(dataset.pipeline)
    # inference_recognizer reads it
    assert types(cfg.test_dataloader.dataset.pipeline) == types(
        cfg.test_pipeline)


@pytest.mark.parametrize('host, data', FINE_TUNING)
def test_its_name_says_batch_clip_and_epochs(host, data):
    name = FINE_TUNING[host, data]
    cfg = load(name)
    gpus, clips, frames, epochs = map(int, re.search(
        r'_(\d+)xb(\d+)-(?:amp-)?(?:1x1x|u)(\d+)-(\d+)e_', name).groups())
    assert cfg.train_dataloader.batch_size == clips
    assert cfg.auto_scale_lr == dict(
        enable=False, base_batch_size=gpus * clips)
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == epochs
    assert ('-amp-' in name) == (
        cfg.optim_wrapper.get('type') == 'AmpOptimWrapper')
    for split in SPLITS:
        sampling = next(
            step for step in cfg[f'{split}_dataloader'].dataset.pipeline
            if 'Sample' in step.type)
        # No window of consecutive frames, which would loop in short videos.
        assert sampling.type == ('SampleFrames' if sampling.clip_len == 1
                                 else 'UniformSample')
        assert frames in (sampling.clip_len, sampling.get('num_clips'))
    for option in ('num_frames', 't_size'):
        assert cfg.model.backbone.get(option, frames) == frames


@pytest.mark.parametrize('host, data', FINE_TUNING)
def test_no_augmentation_changes_a_label_or_needs_another_package(host, data):
    cfg = load(FINE_TUNING[host, data])
    steps = [step for split in SPLITS
             for step in cfg[f'{split}_dataloader'].dataset.pipeline]
    assert all(not step.get('flip_label_map') for step in steps)
    assert 'PytorchVideoWrapper' not in types(steps)
    if data == 'sthv2':  # TenCrop flips, too
        assert not {'Flip', 'TenCrop'} & set(types(steps))
    assert 'blending' not in cfg.model.data_preprocessor


@pytest.mark.parametrize('host, data', FINE_TUNING)
def test_it_is_judged_by_mean_class_accuracy_too(host, data):
    cfg = load(FINE_TUNING[host, data])
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert {k: v for k, v in evaluator.items() if k != SCOPE} == dict(
            type='FineGrainedMetric')
        metric = METRICS.build(evaluator)
    metric.process(None, [dict(pred_score=torch.arange(6.),
                               gt_label=torch.tensor([5]))])
    metrics = metric.evaluate(1)
    best = cfg.default_hooks.checkpoint.save_best
    assert best == ('acc/top1' if data == 'sthv2' else 'acc/mean1')
    assert {best, 'acc/mean1'} <= set(metrics)


@pytest.mark.parametrize('host, data', FINE_TUNING)
def test_it_starts_from_a_checkpoint_of_the_zoo_alone(host, data):
    name = FINE_TUNING[host, data]
    cfg = load(name)
    metafile = MIM / Path(name).parent / 'metafile.yml'
    # TPN's has a parenthesis too many.
    weights = re.findall(r'^ +Weights: \(?(\S+)$', metafile.read_text(),
                         re.MULTILINE)
    assert cfg.load_from in weights
    assert '-pre' in name and ('sthv1' if 'tpn' in name else 'k400') in name
    model = cfg.to_dict()['model']
    assert not any('://' in text for text in strings(model))
    assert not any(everywhere(model, 'pretrained2d'))
    # clip_pretrained would download by default
    assert not any(everywhere(model, 'clip_pretrained'))
    assert 'Pretrained' not in strings(model)


@pytest.mark.parametrize('host', HOSTS)
def test_the_module_is_where_placement_puts_it(host):
    cfg = load(FINE_TUNING[host, BUILT[host]])
    head = dict(cfg.model.cls_head)
    assert head.pop('type') == 'DSTSHead'
    assert head.pop('dsts') == cfg.dsts
    del head['head']
    assert head == placement(plain_twin(cfg))
    for data in DATA:  # what differs between data sets is not the place
        other = dict(load(FINE_TUNING[host, data]).model.cls_head)
        assert {key: other.get(key) for key in head} == head


def check_it_builds(host, data):
    cfg = load(FINE_TUNING[host, data])
    assert cfg.custom_imports == dict(
        imports=['dsts_mmaction'], allow_failed_imports=False)
    model = MODELS.build(cfg.model)
    assert len(list(dsts_modules(model))) == (2 if 'slowfast' in host else 1)
    cfg.optim_wrapper.type = 'OptimWrapper'  # AMP wants an accelerator
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert_grouped_once(model, optim_wrapper)

    lr = {id(p): group['lr'] for group in optim_wrapper.optimizer.param_groups
          for p in group['params']}
    backbone = list(model.backbone.parameters())
    # What each neuron has to itself learns slower with AdamW, on purpose.
    own = set()
    for module in dsts_modules(model):
        share = (1 if isinstance(optim_wrapper.optimizer, torch.optim.SGD)
                 else 1 / module.num_neurons)
        rate = lr[id(module.readout.linear.weight)]
        for parameter in module.private_parameters():
            own.add(id(parameter))
            assert lr[id(parameter)] == pytest.approx(rate * share)
    new = [lr[id(p)] for part in (model.cls_head.head, model.cls_head.dsts)
           for p in part.parameters() if id(p) not in own]
    # Layer decay leaves the backbone's last norm the whole rate.
    mean = (sum(lr[id(p)] * p.numel() for p in backbone)
            / sum(p.numel() for p in backbone))
    assert mean < min(new)
    assert max(lr[id(p)] for p in backbone) <= min(new)


def test_norms_and_biases_of_uniformerv2_do_not_decay():
    cfg = load(FINE_TUNING['uniformerv2_base', 'diving48'])
    model = MODELS.build(cfg.model)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decay = {id(p): group['weight_decay']
             for group in optim_wrapper.optimizer.param_groups
             for p in group['params']}
    for module in model.backbone.modules():
        for name, parameter in module.named_parameters(recurse=False):
            exempt = isinstance(module, torch.nn.LayerNorm) or 'bias' in name
            assert decay[id(parameter)] == (0 if exempt else 0.05)


@pytest.mark.parametrize('host', HOSTS)
def test_it_builds_and_the_backbone_learns_slower(host):
    check_it_builds(host, BUILT[host])


@pytest.mark.slow
@pytest.mark.parametrize('host, data', [
    key for key in FINE_TUNING if BUILT.get(key[0]) != key[1]])
def test_the_others_build_too(host, data):
    check_it_builds(host, data)


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['dsts', 'dsts-udl'])
@pytest.mark.parametrize('host', HOSTS)
def test_it_trains_and_tests_from_a_checkpoint(host, variant, tmp_path):
    """Of the plain recognizer, with Kinetics' classes, on small frames."""
    name = FINE_TUNING[host, BUILT[host]].replace('/dsts-', f'/{variant}-')
    cfg = load(name)
    # AMP on a CPU: bfloat16 overflows in some convolutions of small frames.
    cfg.optim_wrapper.type = 'OptimWrapper'
    plain, size, _ = cut(plain_twin(copy.deepcopy(cfg)))
    cfg.model = dict(plain.model, cls_head=dict(
        type='DSTSHead', head=plain.model.cls_head, dsts=cfg.dsts,
        **placement(plain)))
    folder = write_clips(tmp_path)
    for split in SPLITS:
        cfg[f'{split}_dataloader'] = short_loader(cfg, split, size, folder)
    set_everywhere(plain.model, 'num_classes', 400)
    cfg.load_from = str(tmp_path / 'plain.pth')
    torch.save(dict(state_dict=MODELS.build(plain.model).state_dict()),
               cfg.load_from)
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir = str(tmp_path / 'work')
    cfg.experiment_name = f'{host}_{variant}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 1
    assert np.isfinite(logged(runner, 'loss')).all()
    assert ('train/upstream_grad_norm' in runner.message_hub.log_scalars) == (
        variant == 'dsts-udl')
    assert list((tmp_path / 'work').glob('best_acc_*.pth'))
    assert 0 <= runner.test()['acc/mean1'] <= 1
    log, = (tmp_path / 'work').glob('*/*.log')
    assert 'DSTS starts as the identity' in log.read_text()
