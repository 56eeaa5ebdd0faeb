import pytest

from dsts_mmaction.adapters.specialized import dsts_modules
from dsts_mmaction.benchmark.data_lists import Lists
from dsts_mmaction.benchmark.plan import Protocol, host_config, plan_jobs
from dsts_mmaction.benchmark.variants import VARIANTS
from dsts_mmaction.benchmark.worker import clip_flops
from dsts_mmaction.tailor.specialize import UDL_OPTIMIZER
from tests.builders import build
from tests.test_benchmark.host import write_clips, write_host

LISTS = Lists('a', 'b', 'c')


def plan(path, names, protocol, seeds=(0, ), lists=LISTS,
         root='data', num_classes=7, **cfg_options):
    cfg = host_config(write_host(path / 'tiny.py'), lists, root, num_classes,
                      cfg_options)
    return plan_jobs({'tiny': cfg}, [VARIANTS[n] for n in names], seeds,
                     protocol, num_clips=100)


def test_from_scratch(tmp_path):
    jobs = plan(tmp_path, ['dsts_udl2', 'baseline_extra', 'baseline'],
                Protocol(6, 4), seeds=(1, 2))
    assert [j.name for j in jobs[:3]] == [
        'tiny/baseline/seed1', 'tiny/dsts_udl2/seed1',
        'tiny/baseline_extra/seed1']
    assert [j.seed for j in jobs] == [1] * 3 + [2] * 3
    assert [j.epochs for j in jobs[:3]] == [6, 6, 10]
    assert [j.config.param_scheduler[1].milestones for j in jobs[:3]] == [
        [3, 4], [3, 4], [5, 8]]
    for job in jobs:
        assert job.start is None and job.first_epoch == 0
        assert job.config.randomness.seed == job.seed
        assert job.config.optim_wrapper.optimizer.lr == 0.01
        # Validation is the worker's, after the last epoch.
        assert job.config.train_cfg.val_begin > job.epochs


def test_warm_start_brings_the_baseline(tmp_path):
    jobs = plan(tmp_path, ['dsts_joint', 'baseline_extra'],
                Protocol(6, 3, True, 0.1, val_interval=2, amp=True))
    assert [j.variant for j in jobs] == ['baseline', 'dsts_joint',
                                         'baseline_extra']
    assert [j.epochs for j in jobs] == [6, 3, 3]
    assert [j.start for j in jobs] == [None] + ['tiny/baseline/seed0'] * 2
    assert [j.first_epoch for j in jobs] == [0, 6, 6]
    assert [j.config.optim_wrapper.optimizer.lr for j in jobs] == [
        0.01, pytest.approx(0.001), pytest.approx(0.001)]
    udl, = [j for j in plan(tmp_path, ['dsts_udl2'], Protocol(6, 3, True, 0.1)
                            ) if j.variant == 'dsts_udl2']
    hook = udl.config.custom_hooks[-1]
    assert hook.optimizer.lr == pytest.approx(0.1 * UDL_OPTIMIZER['lr'])
    for job in jobs:
        assert job.config.optim_wrapper.type == 'AmpOptimWrapper'
        assert job.config.train_cfg.val_interval == 2


def test_weights_of_the_config_are_kept_where_nothing_else_is(tmp_path):
    for warm_start, expected in ((False, ['a.pth', 'a.pth']),
                                 (True, ['a.pth', None])):
        jobs = plan(tmp_path, ['baseline', 'dsts_joint'],
                    Protocol(2, 1, warm_start), load_from='a.pth')
        assert [j.config.load_from for j in jobs] == expected


def test_host_config_takes_the_data_in(tmp_path):
    job, = plan(tmp_path, ['dsts_joint'], Protocol(4, 2),
                lists=Lists('train28.txt', None, 'test28.txt'),
                **{'train_dataloader.batch_size': 3})
    cfg = job.config
    # Paths of lists are below the data root alone.
    assert cfg.train_dataloader.dataset.data_root == 'data'
    assert cfg.train_dataloader.dataset.data_prefix == dict(video='')
    assert cfg.model.cls_head.head.num_classes == 7
    assert cfg.model.cls_head.dsts == dict(
        num_neurons=3, num_layers=2, mid_channels=8)
    assert cfg.train_dataloader.batch_size == 3
    assert cfg.train_dataloader.dataset.data_root == 'data'
    assert cfg.test_dataloader.dataset.ann_file.endswith('test28.txt')
    assert cfg.test_evaluator == dict(type='FineGrainedMetric')
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
    assert cfg.custom_imports.imports == ['dsts_mmaction']


def test_wrapped_datasets_are_found(tmp_path):
    path = tmp_path / 'wrapped.py'
    write_host(tmp_path / 'tiny.py')
    path.write_text('''_base_ = 'tiny.py'
train_dataloader = dict(dataset=dict(
    _delete_=True, type='RepeatDataset', times=2,
    dataset=_base_.train_dataloader.dataset))
''')
    cfg = host_config(str(path), Lists('a', 'b', 'c'), 'data', 5, None)
    assert cfg.train_dataloader.dataset.dataset.data_root == 'data'


def test_flops_count_what_runs(tmp_path, one_thread):
    """Against the multiplications of the deployed form, counted by hand."""
    root = write_clips(tmp_path / 'data')
    lists = Lists(*(f'{root}/{s}.txt' for s in ('train', 'val', 'test')))
    jobs = plan(tmp_path, ['baseline', 'dsts_joint', 'control_compute'],
                Protocol(1, 1), lists=lists, root=root, num_classes=5)
    models = [build(job.config.model).float() for job in jobs]
    flops = [clip_flops(model, job.config)
             for model, job in zip(models, jobs)]
    module, = dsts_modules(models[1])
    width, layers = module.mid_channels, module.num_layers
    places = 8 * 2 * 2  # frames, height, width
    pointwise = places * module.in_channels * width
    readout = width * module.cosines * (8 + module.in_channels)
    # A spatial channel has 1x3x3 weights per input channel, a temporal 3.
    least = pointwise + readout + layers * 3 * places * width**2
    most = pointwise + readout + layers * 9 * places * width**2
    router, transform = (layers * width * module.cosines * each
                         for each in (1, 8))
    routers = router * module.num_neurons + transform
    assert least <= flops[1] - flops[0] <= most + routers
    # The control runs both operators of every channel.
    both = pointwise + readout + layers * 12 * places * width**2
    assert both <= flops[2] - flops[0] <= both + router + transform
    assert all(model.training for model in models)
