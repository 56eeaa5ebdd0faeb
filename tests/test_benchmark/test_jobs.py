import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import time

import pytest
from mmengine.config import Config
from rich.console import Console

from dsts_mmaction.benchmark import jobs as module
from dsts_mmaction.benchmark.error import BenchmarkError
from dsts_mmaction.benchmark.jobs import prepare, run_jobs
from dsts_mmaction.benchmark.plan import Job

# Stands in for the worker: notes when it ran, and fails where told to.
WORKER = '''
import json, os, pathlib, sys, time
run = pathlib.Path(sys.argv[1])
begin = time.time()
time.sleep(0.2)
if (run / 'fail').exists():
    raise ValueError('num_classes must be 5, got 4.')
if (run / 'die').exists():
    os.kill(os.getpid(), 9)
(run / 'result.json').write_text(json.dumps([begin, time.time()]))
'''


def job(variant, seed=0, start=None, **options):
    return Job('tsm', variant, seed,
               Config(dict(train_cfg=dict(max_epochs=3), **options)),
               start=start)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs jobs in the stand-in; returns failures and what was printed."""
    script = tmp_path / 'worker.py'
    script.write_text(WORKER)

    def start(run_dir, threads):
        with open(run_dir / 'log.txt', 'a') as log:
            return subprocess.Popen([sys.executable, script, run_dir],
                                    stdout=log, stderr=log)

    monkeypatch.setattr(module, '_start', start)
    monkeypatch.setattr(module, 'POLL_SECONDS', 0.02)
    ended = []

    def run(jobs, at_once=1):
        for job in jobs:
            prepare(job, tmp_path, {})
        console = Console(file=io.StringIO())
        failed = run_jobs(jobs, tmp_path, at_once, 1, console,
                          lambda failed: ended.append(dict(failed)))
        return failed, console.file.getvalue()

    run.ended, run.dir = ended, tmp_path
    return run


def span(run, job):
    return json.loads((run.dir / job.name / 'result.json').read_text())


def test_jobs_wait_for_what_they_start_from_and_for_a_place(run):
    jobs = []
    for seed in range(2):
        base = job('baseline', seed)
        jobs += [base, *(job(f'dsts{i}', seed, base.name) for i in range(2))]
    failed, text = run(jobs, at_once=2)
    assert not failed
    assert len(run.ended) == len(jobs) == text.count(': done')
    spans = {j.name: span(run, j) for j in jobs}
    for j in jobs:
        if j.start:
            assert spans[j.start][1] <= spans[j.name][0]
    at_once = [sum(a <= begin < b for a, b in spans.values())
               for begin, _ in spans.values()]
    assert max(at_once) == 2


def test_finished_jobs_are_skipped(run):
    jobs = [job('baseline'), job('dsts')]
    run(jobs[:1])
    before = span(run, jobs[0])
    failed, text = run(jobs)
    assert span(run, jobs[0]) == before
    assert '1 of 2 runs to do' in text and not failed
    assert '0 of 2 runs to do' in run(jobs)[1]


def test_failed_jobs_are_named_and_the_others_go_on(run):
    bases = [job('baseline', 0), job('baseline', 1)]
    jobs = [*bases, job('a', 0, bases[0].name), job('a', 1, bases[1].name),
            job('b', 1)]
    for j, how in ((jobs[0], 'fail'), (jobs[4], 'die')):
        (run.dir / j.name).mkdir(parents=True)
        (run.dir / j.name / how).touch()
    failed, text = run(jobs)
    assert failed.keys() == {jobs[0].name, jobs[2].name, jobs[4].name}
    assert failed[jobs[0].name].startswith(
        'ValueError: num_classes must be 5, got 4. (exit status 1; ')
    assert failed[jobs[2].name] == f'{jobs[0].name} failed.'
    assert failed[jobs[4].name].startswith('ended by signal 9')
    assert run.ended[-1] == failed
    # Tried again when asked again.
    (run.dir / jobs[0].name / 'fail').unlink()
    assert run(jobs)[0].keys() == {jobs[4].name}


def test_interrupt_ends_what_runs(run, monkeypatch):
    script = run.dir / 'worker.py'
    script.write_text('import os, sys, time\n'
                      'open(sys.argv[1] + "/pid", "w").write('
                      'str(os.getpid()))\n'
                      'time.sleep(60)\n')
    only = job('baseline')
    pid = run.dir / only.name / 'pid'

    def interrupt(*args):
        if pid.exists() and pid.read_text():
            raise KeyboardInterrupt
        return 0, ''

    monkeypatch.setattr(module, '_progress', interrupt)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run([only])
    assert time.monotonic() - begin < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_worker_ends_if_its_parent_ended_before_its_imports(tmp_path):
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    code = ('import sys, time\n'
            'from dsts_mmaction.benchmark import worker\n'
            'worker.run_job = lambda run_dir: time.sleep(int(sys.argv[1]))\n'
            'worker.main([".", sys.argv[2]])')
    for seconds, parent, status in (('60', gone.pid, 1), ('3', os.getpid(),
                                                          0)):
        done = subprocess.run([sys.executable, '-c', code, seconds,
                               str(parent)], timeout=50)
        assert done.returncode == status


def test_worker_takes_its_loading_processes_along():
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    code = ('import multiprocessing, sys, time\n'
            'from dsts_mmaction.benchmark import worker\n'
            'multiprocessing.Process(target=time.sleep, args=(99, )).start()\n'
            'worker.run_job = lambda run_dir: time.sleep(99)\n'
            'worker.main([".", sys.argv[1]])')
    # Ends when nobody can write to its output any more.
    done = subprocess.run([sys.executable, '-c', code, str(gone.pid)],
                          timeout=50, stdout=subprocess.PIPE)
    assert done.returncode == 1


def test_worker_is_told_its_parent(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(module.subprocess, 'Popen',
                        lambda command, **_: commands.append(command))
    module._start(tmp_path, 1)
    assert commands[0][-2:] == [str(tmp_path), str(os.getpid())]


def test_progress_of_a_running_training(run, monkeypatch):
    monkeypatch.setattr(module, 'PLAIN_SECONDS', 0)
    only = job('baseline')
    vis = run.dir / only.name / '20260101_100000' / 'vis_data'
    vis.mkdir(parents=True)
    (vis / 'scalars.json').write_text(
        '{"loss": 2.5, "epoch": 2, "iter": 7}\n{"loss": 2.2')
    text = run([only])[1]
    assert '0/1 runs; tsm/baseline/seed0: epoch 2/3, loss 2.500' in text


def begin(job, work_dir):
    """What MMEngine does before anything is trained."""
    (work_dir / job.name / 'started.py').touch()


def test_other_settings_are_refused(tmp_path, monkeypatch):
    prepare(job('dsts', lr=0.1), tmp_path, dict(train='a'))
    begin(job('dsts'), tmp_path)
    prepare(job('dsts', lr=0.1), tmp_path, dict(train='a'))
    for changed, digests, names in (
            (job('dsts', lr=0.2), dict(train='a'), 'lr'),
            (job('dsts', lr=0.1), dict(train='b'), 'lists.train'),
            (job('dsts', lr=0.1, start='tsm/baseline/seed0'),
             dict(train='a'), 'start'),
            (job('dsts', a=1, b=1, c=1, d=1, lr=0.1), dict(train='a'),
             'a, b, c and 1 more')):
        message = re.escape(f'dsts/seed0 holds a run with another {names}: ')
        with pytest.raises(BenchmarkError, match=message):
            prepare(changed, tmp_path, digests)
    other = dataclasses.replace(job('dsts', lr=0.1), defaults=dict(cosines=1))
    with pytest.raises(BenchmarkError, match='with another defaults.cosines'):
        prepare(other, tmp_path, dict(train='a'))
    monkeypatch.setattr(module, '__version__', '0.0.1')
    with pytest.raises(BenchmarkError,
                       match='of version 0.* of .*, this is 0.0.1: '):
        prepare(job('dsts', lr=0.1), tmp_path, dict(train='a'))


def test_settings_of_a_run_that_has_not_begun_are_replaced(tmp_path):
    for lr, digest in ((0.1, 'a'), (0.2, 'b')):
        prepare(job('dsts', lr=lr), tmp_path, dict(train=digest))
    run_dir = tmp_path / job('dsts').name
    assert Config.fromfile(run_dir / 'config.py').lr == 0.2
    assert json.loads((run_dir / 'job.json').read_text())['lists'] == dict(
        train='b')


def test_a_run_keeps_the_source_that_it_began_with(tmp_path):
    for command in ('zeroth', 'first', 'second'):
        prepare(job('dsts'), tmp_path, {}, dict(command=command))
        if command == 'first':
            begin(job('dsts'), tmp_path)
    path = next(tmp_path.glob('**/job.json'))
    assert json.loads(path.read_text())['source'] == dict(command='first')
