import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from mmaction.registry import HOOKS
from mmengine.config import Config
from mmengine.hooks import Hook
from rich.console import Console

from dsts_mmaction.benchmark import benchmark
from dsts_mmaction.benchmark.benchmark import Settings, run_benchmark
from dsts_mmaction.benchmark.error import BenchmarkError
from dsts_mmaction.benchmark.variants import VARIANTS, parse_variant
from dsts_mmaction.benchmark.worker import run_job
from dsts_mmaction.evaluation import (
    groups_from_confusions,
    within_group_accuracy,
)
from tests.test_benchmark.host import write_clips, write_host

TOOL = Path(__file__).parents[2] / 'tools' / 'benchmark.py'
pytestmark = pytest.mark.usefixtures('one_thread')


@HOOKS.register_module()
class Witness(Hook):
    """Notes what runs see, and breaks off where it is told to."""
    seen = {}
    stop_at = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        name = os.path.relpath(runner.work_dir, Witness.root)
        Witness.seen.setdefault(name, []).append(
            torch.stack(data_batch['inputs']).clone())
        if Witness.stop_at == (name, runner.iter):
            raise InterruptedError('stopped')
        Witness.last = runner


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp('clips') / 'data')


@pytest.fixture
def settings(tmp_path, clips, monkeypatch):
    """Settings of benchmarks whose runs take place in this process."""
    Witness.seen, Witness.stop_at = {}, None
    Witness.root = str(tmp_path / 'work')

    def run_here(jobs, work_dir, at_once, threads, console, on_end):
        failed = {}
        for job in jobs:
            if not (work_dir / job.name / 'result.json').exists():
                try:
                    run_job(work_dir / job.name)
                except (InterruptedError, RuntimeError) as error:
                    failed[job.name] = str(error)
                on_end(failed)
        return failed

    monkeypatch.setattr(benchmark, 'run_jobs', run_here)

    def make(*variants, workers=0, **options):
        options.setdefault('epochs', 2)
        options.setdefault('seeds', [3])
        cfg_options = {'custom_hooks': [dict(type='Witness')],
                       **options.pop('cfg_options', {})}
        return Settings(
            hosts=[write_host(tmp_path / 'tiny.py', workers)],
            variants=[VARIANTS[v] if isinstance(v, str) else v
                      for v in variants],
            work_dir=Witness.root, data_root=clips, cfg_options=cfg_options,
            **options)

    return make


def run(settings):
    return run_benchmark(settings, Console(file=io.StringIO()))


def rows(results):
    return {(r['variant'], r['seed']): r for r in results['runs']}


def test_warm_start(settings, clips):
    results = run(settings('dsts_udl2', 'baseline_extra', warm_start=True,
                           extra_epochs=1, val_interval=1,
                           command='python tools/benchmark.py …'))
    saved = json.loads(Path(Witness.root, 'results.json').read_text())
    assert saved == json.loads(json.dumps(results))
    assert 'tiny on data-5' in Path(Witness.root, 'results.md').read_text()
    assert results['failed'] == []
    assert results['data_set'] == dict(
        name='data-5', num_classes=5, class_names=None, train=8, val=5,
        test=6)
    assert results['protocol']['extra_lr_mult'] == 0.5
    runs = rows(results)
    assert list(runs) == [('baseline', 3), ('dsts_udl2', 3),
                          ('baseline_extra', 3)]
    base, dsts, extra = runs.values()

    # Epochs are counted on, at half the learning rate.
    assert [e['epoch'] for e in base['curve']] == [1, 2]
    assert [e['epoch'] for e in dsts['curve']] == [3]
    assert all(e['val_top1'] is not None for e in base['curve'])
    assert dsts['curve'][-1]['val_top1'] == dsts['val_top1']
    folder = Path(Witness.root, 'tiny')
    lr = [Config.fromfile(folder / v / 'seed3' / 'config.py')
          .optim_wrapper.optimizer.lr for v in ('baseline', 'dsts_udl2')]
    assert lr == [0.01, 0.005]

    # Variants of a seed see the same clips with the same augmentation.
    seen = {Path(k).parts[1]: v for k, v in Witness.seen.items()}
    assert len(seen['baseline_extra']) == 4
    for a, b in zip(seen['baseline_extra'], seen['dsts_udl2']):
        assert torch.equal(a, b)
    assert not torch.equal(*seen['dsts_udl2'][:2])

    # Sums of the parts.
    assert base['parameters'] == extra['parameters'] < dsts['parameters']
    assert base['flops'] < dsts['flops'] < 1.5 * base['flops']
    scores = np.load(folder / 'dsts_udl2/seed3/test_scores.npz')
    labels = [int(line.split()[1])
              for line in Path(clips, 'test.txt').read_text().splitlines()]
    assert scores['labels'].tolist() == labels
    right = scores['scores'].argmax(1) == labels
    assert dsts['correct'] == ''.join(str(int(r)) for r in right)
    assert dsts['top1'] == pytest.approx(100 * right.mean())
    assert np.sum(dsts['confusion']) == 6
    assert np.trace(dsts['confusion']) == right.sum()
    assert dsts['work_dir'] == 'tiny/dsts_udl2/seed3'
    assert dsts['source'] == {
        key: results[key] for key in ('command', 'date', 'machine')}
    assert dsts['peak_memory_mb'] > 100


def test_starts_from_the_baseline_and_keeps_only_weights(settings):
    run(settings('baseline_extra', warm_start=True, extra_epochs=1,
                 cfg_options={'optim_wrapper.optimizer.lr': 0.0}))
    folder = Path(Witness.root, 'tiny')
    states = []
    for variant, epoch in (('baseline', 2), ('baseline_extra', 1)):
        run_dir = folder / variant / 'seed3'
        assert [p.name for p in run_dir.glob('*.pth')] == [
            f'epoch_{epoch}.pth']
        checkpoint = torch.load(run_dir / f'epoch_{epoch}.pth')
        assert 'optimizer' not in checkpoint
        states.append(checkpoint['state_dict'])
    # With a learning rate of 0 the weights are still the baseline's.
    for name, value in states[0].items():
        if 'running' not in name and 'num_batches' not in name:
            assert torch.equal(value, states[1][name])


def test_starts_from_the_weights_of_load_from(settings, tmp_path):
    run(settings('baseline', epochs=1))
    run_dir = Path(Witness.root, 'tiny/baseline/seed3')
    weights = run_dir.rename(tmp_path / 'first') / 'epoch_1.pth'
    options = settings('baseline', epochs=1, cfg_options={
        'load_from': str(weights), 'optim_wrapper.optimizer.lr': 0.0})
    run(options)
    before, after = (torch.load(path)['state_dict']
                     for path in (weights, run_dir / 'epoch_1.pth'))
    for name, value in before.items():
        if 'running' not in name and 'num_batches' not in name:
            assert torch.equal(value, after[name])
    options.cfg_options['load_from'] = 'another.pth'
    with pytest.raises(BenchmarkError, match='another load_from: '):
        run(options)


def test_start_without_a_checkpoint_fails(settings):
    run(settings('baseline', warm_start=True, epochs=1))
    base = Path(Witness.root, 'tiny/baseline/seed3')
    (base / 'epoch_1.pth').unlink()
    results = run(settings('baseline_extra', warm_start=True, epochs=1))
    failure, = results['failed']
    assert failure['variant'] == 'baseline_extra'
    assert failure['reason'].startswith(
        f'{base} has no checkpoint any more to start from: ')


def test_stopped_training_resumes(settings):
    options = settings('baseline', epochs=3)
    name = 'tiny/baseline/seed3'
    Witness.stop_at = (name, 6)  # four iterations per epoch
    results = run(options)
    assert results['failed'] == [dict(
        host='tiny', variant='baseline', seed=3, reason='stopped')]
    assert results['runs'] == []
    assert len(Witness.seen[name]) == 7
    Witness.stop_at = None
    time.sleep(1)  # MMEngine names folders by the second
    results = run(options)
    assert results['failed'] == []
    assert len(Witness.seen[name]) == 7 + 8  # epochs 2 and 3
    curve = results['runs'][0]['curve']
    assert [e['epoch'] for e in curve] == [1, 2, 3]


def test_stop_between_training_and_test(settings):
    options = settings('baseline')
    first = rows(run(options))['baseline', 3]
    run_dir = Path(Witness.root, 'tiny/baseline/seed3')
    for name in ('result.json', 'training.json'):
        (run_dir / name).rename(run_dir / f'_{name}')
    # Stopped before the memory was written: only that is not known.
    assert rows(run(options))['baseline', 3] == dict(first,
                                                     peak_memory_mb=None)
    (run_dir / '_training.json').rename(run_dir / 'training.json')
    for name in ('result.json', 'test_scores.npz', 'val_scores.npz'):
        (run_dir / name).unlink()
    assert rows(run(options))['baseline', 3] == first
    assert len(Witness.seen['tiny/baseline/seed3']) == 8


def test_groups_from_validation(settings):
    """More seeds later; the groups are those of all baselines together."""
    run(settings('baseline', epochs=1))
    both = run(settings('baseline', epochs=1, seeds=[3, 4]))
    folder = Path(Witness.root, 'tiny')
    confusion = np.zeros((5, 5))
    for seed in (3, 4):
        file = np.load(folder / f'baseline/seed{seed}/val_scores.npz')
        for label, scores in zip(file['labels'], file['scores']):
            confusion[label, scores.argmax()] += 1
    groups = groups_from_confusions(confusion)
    assert both['groups'] == dict(
        source='validation confusions of the baseline', groups=groups)
    for (variant, seed), row in rows(both).items():
        file = np.load(folder / f'{variant}/seed{seed}/test_scores.npz')
        assert row['within_group'] == (pytest.approx(
            100 * within_group_accuracy(file['scores'], file['labels'],
                                        groups)) if groups else None)


def test_fold(settings, tmp_path, clips):
    groups = tmp_path / 'groups.json'
    groups.write_text('[[0, 1], [2, 3, 4]]')
    results = run(settings(
        'baseline', fold=(2, 4), fold_by=r'_s(\d+)_', groups=str(groups),
        lists=dict(test='absent.txt'), epochs=1))
    assert results['data_set']['name'] == 'data-5, fold 2 of 4'
    assert results['groups'] == dict(source='file groups.json',
                                     groups=[[0, 1], [2, 3, 4]])
    test = [line for name in ('train', 'val') for line in
            Path(clips, f'{name}.txt').read_text().splitlines()
            if '_s1_' in line]
    row, = results['runs']
    assert len(row['correct']) == len(test) == results['data_set']['test']
    assert row['val_top1'] is None and row['within_group'] is not None


def test_fold_without_groups_says_that_there_are_none(settings):
    results = run(settings('baseline', fold=(2, 4), fold_by=r'_s(\d+)_',
                           epochs=1))
    source = ('none: no validation scores of a baseline in this command; '
              'name baseline in --variants, or give --groups')
    assert results['groups'] == dict(source=source, groups=[])
    assert f'Look-alike groups: {source}' in Path(
        Witness.root, 'results.md').read_text()


def test_diverged_training_has_failed(settings):
    results = run(settings(
        'baseline', cfg_options={'optim_wrapper.optimizer.lr': 1e30}))
    assert results['failed'][0]['reason'] == 'the loss became nan.'


@pytest.mark.parametrize('options, words', [
    (dict(lists=dict(train='none.txt')), 'none.txt cannot be read'),
    (dict(num_classes=3), 'must end in a label from 0 to 2'),
    (dict(cfg_options={'model.cls_head.num_classes': 4}),
     'must end in a label from 0 to 3'),
    (dict(cfg_options={'train_dataloader.dataset.ann_file': 'none.txt'}),
     'none.txt cannot be read'),
    (dict(fold=(1, 2)), '--fold needs --fold-by'),
    (dict(fold_by=r'_s(\d+)_'), "--fold-by needs --fold K/N, got '_s"),
    (dict(seeds=[0, -1]), '--seeds must be from 0 to .*, got -1'),
    (dict(extra_lr_mult=0.0), '--extra-lr-mult must be above 0, got 0.0'),
    (dict(groups='no.json'), '--groups no.json cannot be read: No such file'),
    (dict(class_names='no.txt'), '--class-names no.txt cannot be read: No'),
    (dict(cfg_options={'param_scheduler.7.end': 3}),
     '--cfg-options do not fit .*tiny.py: .*7 exceeds'),
    (dict(cfg_options={'train_dataloader.batch_size': 8}),
     'tiny, 2 epochs: LinearLR from epoch 0 to 0.5 would have no iteration, '
     'as an epoch has 1: take more'),
    (dict(epochs=0), '--epochs must be 1 or more, got 0'),
    (dict(extra_epochs=0), '--extra-epochs must be 1 or more, got 0'),
    (dict(threads=0), '--threads must be 1 or more, got 0'),
    (dict(jobs=-1), '--jobs must be 1 or more, got -1'),
    (dict(val_interval=0), '--val-interval must be 1 or more, got 0'),
    (dict(seeds=[3, 4, 3]), '--seeds must name each once, got 3 2 times'),
])
def test_wrong_settings(settings, options, words):
    with pytest.raises(ValueError, match=words):
        run(settings('baseline', **options))


@pytest.mark.parametrize('options, words', [
    ('num_neurons=-4', 'num_neurons must be .*, got -4'),
    ('udl=1,udl.interval=0', 'interval of .* must be .*, got 0'),
    ('udl=2,udl.optimizer=None', 'optimizer of .* must be .*, got None'),
])
def test_wrong_options_of_a_variant_are_told_first(settings, options, words):
    with pytest.raises(BenchmarkError, match=f'variant mine: {words}'):
        run(settings('baseline', parse_variant(f'mine:{options}'),
                     warm_start=True))
    assert not Witness.seen


def test_learning_rate_that_a_warm_start_cannot_scale(settings):
    options = settings('baseline_extra', warm_start=True)
    host = Path(options.hosts[0])
    host.write_text(host.read_text().replace('lr=0.01, ', ''))
    with pytest.raises(BenchmarkError, match='optim_wrapper.optimizer.lr must '
                       'be a number to go on with .*, got None'):
        run(options)
    assert not Witness.seen


def test_config_without_validation(settings):
    options = settings('baseline', epochs=1, cfg_options=dict(
        val_dataloader=None, val_evaluator=None, val_cfg=None))
    results = run(options)
    assert results['data_set']['val'] == 0
    assert results['runs'][0]['val_top1'] is None
    for loader in (None, dict(batch_size=2)):
        options = settings('baseline')
        host = Path(options.hosts[0])
        host.write_text(host.read_text()
                        + f'train_dataloader = {loader!r}\n')
        with pytest.raises(BenchmarkError, match='host .*tiny.py: the config '
                           'must have a train_dataloader.dataset, got none'):
            run(options)


def test_host_without_a_number_of_classes(settings):
    options = settings('baseline')
    host = Path(options.hosts[0])
    host.write_text(host.read_text() + 'del model["cls_head"]\n')
    with pytest.raises(BenchmarkError, match='host .*tiny.py: model.cls_head.'
                       'num_classes must be a number, got None'):
        run(options)


def test_clips_that_are_augmented_several_times(settings):
    results = run(settings('baseline', epochs=1, cfg_options={
        'train_dataloader.dataset.type': 'RepeatAugDataset',
        'train_dataloader.collate_fn': dict(type='repeat_pseudo_collate')}))
    assert results['failed'] == [] and results['runs'][0]['flops'] > 0


@pytest.mark.parametrize('kind', ['AmpOptimWrapper', 'OptimWrapper'])
def test_mixed_precision_of_the_host_is_recorded(settings, kind):
    results = run(settings('baseline', epochs=1, cfg_options={
        'optim_wrapper.type': kind}))
    assert results['runs'][0]['amp'] == (kind == 'AmpOptimWrapper')


def test_config_that_is_compared_is_written_once(settings):
    options = settings('baseline', epochs=1)
    run(options)
    run_dir = Path(Witness.root, 'tiny/baseline/seed3')
    written = (run_dir / 'config.py').stat().st_mtime_ns
    assert written <= (run_dir / 'job.json').stat().st_mtime_ns
    assert Config.fromfile(run_dir / 'started.py').work_dir == str(run_dir)
    assert Config.fromfile(run_dir / 'config.py').get('work_dir') is None


def test_variants_given_twice_are_refused(settings):
    with pytest.raises(BenchmarkError, match='got baseline 2 times'):
        run(settings('baseline', 'dsts_joint', 'baseline'))


def test_classes_that_do_not_fit_are_refused(settings, tmp_path):
    groups, names = tmp_path / 'groups.json', tmp_path / 'names.txt'
    groups.write_text('[[0, 1], [2, 5]]')
    with pytest.raises(BenchmarkError, match='--groups .*groups.json: groups'
                       r'.1. must hold .* from 0 to 4, got .2, 5.'):
        run(settings('baseline', groups=str(groups)))
    names.write_text('a\nb\nc\nd\n')
    with pytest.raises(BenchmarkError, match='--class-names .*names.txt must '
                       'hold 5 names, one for each class, got 4'):
        run(settings('baseline', class_names=str(names), num_classes=5))
    assert not Witness.seen


def test_a_specialized_host_is_refused(settings):
    options = settings('baseline')
    host = Path(options.hosts[0])
    host.write_text(host.read_text() + 'model["cls_head"] = dict('
                    'type="DSTSHead", head=model["cls_head"])\n')
    with pytest.raises(BenchmarkError, match='config of a plain recognizer, '
                       'got one whose model.cls_head is a DSTSHead'):
        run(options)


def test_lists_are_below_the_configs_folder(settings, clips):
    options = settings('baseline', lists=dict(train='val.txt'))
    host = Path(options.hosts[0])
    host.write_text(host.read_text().replace('elsewhere', clips)
                    .replace("video='clips'", "video=''"))
    results = run(Settings(**{**vars(options), 'data_root': None}))
    assert results['data_set']['train'] == 5 and results['runs']


@pytest.mark.parametrize('own, shared', [(0, 6), (5, 1)])
def test_no_groups_from_test_clips(settings, tmp_path, clips, own, shared):
    """The validation list is the test list, or has a clip of it."""
    lines = [line for name, count in (('val', own), ('test', shared))
             for line in Path(clips, f'{name}.txt').read_text().splitlines(
                 keepends=True)[:count]]
    mixed = tmp_path / 'mixed.txt'
    mixed.write_text(''.join(lines))
    results = run(settings('baseline', lists=dict(val=str(mixed)), epochs=1))
    source = 'none: validation clips are test clips; give --groups'
    assert results['groups'] == dict(source=source, groups=[])
    assert results['runs'][0]['within_group'] is None
    text = Path(Witness.root, 'results.md').read_text()
    assert f'Look-alike groups: {source}' in text


def test_one_neuron_trains_upstream_and_downstream(settings):
    results = run(settings(parse_variant('one:num_neurons=1,udl=2'),
                           epochs=1))
    assert results['failed'] == [] and len(results['runs']) == 1
    hook = Witness.last.cfg.custom_hooks[-1]
    assert (hook.type, hook.order) == ('UpstreamDownstreamHook', 2)


def test_a_second_benchmark_is_kept_out(settings):
    options = settings('baseline')
    work_dir = Path(options.work_dir)
    work_dir.mkdir(parents=True)
    with FileLock(work_dir / '.lock'):
        for refused in (options, settings('baseline', fold=(1, 2),
                                          fold_by=r'_s(\d+)_')):
            with pytest.raises(BenchmarkError, match='is in use by another'):
                run(refused)
    assert [path.name for path in work_dir.rglob('*')] == ['.lock']
    assert run(options)['runs']


def test_two_hosts(settings, tmp_path):
    options = settings('baseline', epochs=None)
    longer = tmp_path / 'longer.py'
    longer.write_text("_base_ = 'tiny.py'\ntrain_cfg = dict(max_epochs=9)\n")
    for hosts, words in ((options.hosts * 2, 'different file names'),
                         ([*options.hosts, str(longer)], '--epochs must')):
        with pytest.raises(BenchmarkError, match=words):
            run(Settings(**{**vars(options), 'hosts': hosts}))


@pytest.mark.slow
def test_killed_benchmark_goes_on(tmp_path, clips):
    """The command line itself, killed so that it cannot clean up."""
    work_dir = tmp_path / 'work'
    command = [
        sys.executable, str(TOOL), write_host(tmp_path / 'tiny.py', 1),
        '--data-root', clips, '--work-dir', str(work_dir), '--epochs', '2',
        '--extra-epochs', '1', '--warm-start', '--variants', 'dsts_udl1',
        '--variant', "broken:udl=1,udl.held_out={'dataset': {'type':'No'}}",
        '--seeds', '0',
        '--jobs', '2', '--threads', '1', '--amp'
    ]
    base = work_dir / 'tiny' / 'baseline' / 'seed0'
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (base / 'epoch_1.pth').exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(3)
    assert not (base / 'result.json').exists()  # the worker ended as well

    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert '1 runs failed' in done.stderr
    results = json.loads((work_dir / 'results.json').read_text())
    assert [r['variant'] for r in results['runs']] == ['baseline',
                                                       'dsts_udl1']
    failure, = results['failed']
    assert failure['variant'] == 'broken'
    assert ('held_out of UpstreamDownstreamHook cannot be built'
            in failure['reason'])
    assert results['command'].startswith('python ')
