"""Run jobs in processes of their own, several at once."""
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console

from ..utils.atomic import write_json, write_text
from ..utils.configs import differing_options
from ..utils.processes import end_process, training_environment
from ..utils.reporter import Reporter
from ..utils.training_log import last_training_record, read_scalars
from ..version import __version__
from .error import BenchmarkError
from .plan import Job

POLL_SECONDS = 1.0
# In a run's folder, written by MMEngine before anything is trained.
STARTED = 'started.py'
# Without a terminal; a benchmark takes hours.
PLAIN_SECONDS = 60.0


def prepare(job: Job, work_dir: Path, digests: dict[str, str],
            source: dict[str, Any] | None = None) -> None:
    """Write what the worker reads, or check that it is there already.

    Args:
        job: The run.
        work_dir: The benchmark's.
        digests: Of the lists.
        source: Command, date and machine, kept with a new run. One that has
            begun keeps its own.

    Raises:
        BenchmarkError: The folder holds a run with other settings that has
            begun.
    """
    run_dir = work_dir / job.name
    settings = dict(
        host=job.host, variant=job.variant, seed=job.seed,
        first_epoch=job.first_epoch, lists=digests,
        start=job.start and os.path.relpath(work_dir / job.start, run_dir),
        defaults=job.defaults, version=__version__)
    path = run_dir / 'job.json'
    if not (path.is_file() and (run_dir / STARTED).is_file()):
        # The config first: job.json says that both are there.
        write_text(run_dir / 'config.py', job.config.pretty_text)
        write_json(path, dict(settings, source=source))
        return
    known = json.loads(path.read_text())
    known.pop('source', None)
    if known.get('version') != __version__:
        raise BenchmarkError(
            f'{run_dir} holds a run of version {known.get("version")} of '
            f'dsts_mmaction, this is {__version__}: choose another '
            '--work-dir or remove it.')
    names = differing_options(known, settings)
    names += differing_options(
        Config.fromfile(run_dir / 'config.py').to_dict(),
        job.config.to_dict())
    if names:
        more = f' and {len(names) - 3} more' if len(names) > 3 else ''
        raise BenchmarkError(
            f'{run_dir} holds a run with another '
            f'{", ".join(names[:3])}{more}: choose another --work-dir or '
            'remove it.')


def run_jobs(jobs: Sequence[Job],
             work_dir: Path,
             at_once: int,
             threads: int,
             console: Console,
             on_end: Callable[[dict[str, str]], None]) -> dict[str, str]:
    """Run the jobs that have no result yet.

    A job that another starts from comes first; if it fails, so does that.

    Args:
        jobs: Prepared ones.
        work_dir: The benchmark's.
        at_once: Number of processes.
        threads: Threads of each.
        console: Where to print progress.
        on_end: Called after every job, with the failures so far.

    Returns:
        For each job that failed, by its name, why, in one line.
    """
    waiting: list[Job] = []
    failed: dict[str, str] = {}
    running: dict[Job, subprocess.Popen] = {}
    for job in jobs:
        if not _is_done(job, work_dir):
            waiting.append(job)
    epochs_done = sum(j.epochs for j in jobs) - sum(j.epochs for j in waiting)
    num_done = len(jobs) - len(waiting)
    total = sum(job.epochs for job in jobs)
    try:
        with Reporter(console, f'{len(waiting)} of {len(jobs)} runs to do',
                      total, PLAIN_SECONDS) as reporter:
            while waiting or running:
                for job in _ended(running):
                    process = running.pop(job)
                    num_done += 1
                    epochs_done += job.epochs
                    if process.returncode:
                        failed[job.name] = _reason(work_dir / job.name,
                                                   process.returncode)
                    console.print(
                        f'{job.name}: {failed.get(job.name, "done")}',
                        highlight=False, markup=False, soft_wrap=True)
                    on_end(failed)
                for job in list(waiting):
                    if job.start in failed:
                        waiting.remove(job)
                        num_done += 1
                        epochs_done += job.epochs
                        failed[job.name] = f'{job.start} failed.'
                        on_end(failed)
                    elif len(running) < at_once and _can_start(
                            job, waiting, running):
                        waiting.remove(job)
                        running[job] = _start(work_dir / job.name, threads)
                progress = [_progress(job, work_dir) for job in running]
                reporter.update(
                    epochs_done + sum(epoch for epoch, _ in progress),
                    f'{num_done}/{len(jobs)} runs; '
                    + '; '.join(note for _, note in progress))
                time.sleep(POLL_SECONDS)
    finally:
        for process in running.values():
            end_process(process)
    return failed


def _is_done(job: Job, work_dir: Path) -> bool:
    return (work_dir / job.name / 'result.json').is_file()


def _ended(running: dict[Job, subprocess.Popen]) -> list[Job]:
    return [job for job, process in running.items()
            if process.poll() is not None]


def _can_start(job: Job, waiting: Sequence[Job],
               running: dict[Job, subprocess.Popen]) -> bool:
    return all(job.start != other.name for other in (*waiting, *running))


def _start(run_dir: Path, threads: int) -> subprocess.Popen:
    with open(run_dir / 'log.txt', 'a', encoding='utf-8') as log:
        return subprocess.Popen(
            [sys.executable, '-m', f'{__package__}.worker', str(run_dir),
             str(os.getpid())],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env=training_environment(threads))


def _progress(job: Job, work_dir: Path) -> tuple:
    """Epochs done, and a remark."""
    record = last_training_record(read_scalars(str(work_dir / job.name)))
    if record is None:
        return 0, f'{job.name}: starting'
    return record['epoch'] - 1, (
        f"{job.name}: epoch {record['epoch']}/{job.epochs}, "
        f"loss {record['loss']:.3f}")


def _reason(run_dir: Path, status: int) -> str:
    """The last line of a failed run's output, and where the rest is."""
    log = run_dir / 'log.txt'
    if status < 0:
        return f'ended by signal {-status}: its output is in {log}.'
    with open(log, encoding='utf-8', errors='replace') as file:
        lines = [line.strip() for line in file if line.strip()]
    return (f'{lines[-1] if lines else "no output"} (exit status {status}; '
            f'the whole output is in {log})')
