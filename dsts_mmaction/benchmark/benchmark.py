"""The benchmark: hosts, variants and seeds to results.json and a report.

Every run leaves its result in its folder and is skipped when the result is
there, so that a stopped benchmark goes on where it was, and more seeds,
variants or hosts can be added later.
"""
import contextlib
import datetime
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import (
    Any,
)

from filelock import FileLock, Timeout
from mmengine.config import Config
from rich.console import Console

from ..evaluation import (
    groups_from_confusions,
    read_class_names,
    read_groups,
    within_group_accuracy,
)
from ..evaluation.look_alike import check_groups
from ..utils.annotation_lists import read_labels
from ..utils.atomic import write_json
from ..utils.machine import describe_machine
from .data_lists import Lists, list_path, write_fold
from .error import BenchmarkError
from .jobs import prepare, run_jobs
from .plan import (
    Job,
    Protocol,
    common_epochs,
    host_config,
    load_host,
    plan_jobs,
)
from .published import is_published, published_groups
from .report import write_report
from .scores import confusions, read_scores
from .variants import Variant

NO_GROUPS = 'none: validation clips are test clips; give --groups'
NO_SCORES = ('none: no validation scores of a baseline in this command; name '
             'baseline in --variants, or give --groups')


@dataclass(frozen=True)
class Settings:
    """What a benchmark compares, on what, and how.

    Attributes:
        hosts: Paths of configs of plain recognizers.
        variants: What is compared.
        seeds: Of weights, data order, augmentation and noise.
        work_dir: Where everything is written.
        data_root: Folder of the clips; by default each host keeps its own.
        lists: Paths of lists by split (train, val, test), relative to
            ``data_root`` or else to the first host's; by default the first
            host's.
        data_set: Its name; by default that of the training list's folder.
        num_classes: By default the number of class names, or else the first
            host's.
        class_names: File of class names.
        groups: File of look-alike groups; by default they are found from the
            baselines' validation confusions, of all hosts together, unless
            validation clips are test clips.
        fold: ``(K, N)`` to train on training and validation list without
            fold K of N, and test on that. A validation list that is the
            test list has no part in it.
        fold_by: Regular expression for the subject in a clip's path.
        epochs: By default the hosts'.
        extra_epochs: By default half of ``epochs``.
        warm_start: See :class:`~dsts_mmaction.benchmark.plan.Protocol`, as
            for the following ones.
        cfg_options: Changes of the hosts' configs.
        jobs: Runs at once.
        threads: Threads of each; by default the cores are shared out.
        command: The command line, for the record.
    """
    hosts: Sequence[str]
    variants: Sequence[Variant]
    seeds: Sequence[int]
    work_dir: str
    data_root: str | None = None
    lists: dict[str, str] = field(default_factory=dict)
    data_set: str | None = None
    num_classes: int | None = None
    class_names: str | None = None
    groups: str | None = None
    fold: tuple[int, int] | None = None
    fold_by: str | None = None
    epochs: int | None = None
    extra_epochs: int | None = None
    warm_start: bool = False
    extra_lr_mult: float = 0.5
    val_interval: int | None = None
    amp: bool = False
    cfg_options: dict[str, Any] | None = None
    jobs: int = 1
    threads: int | None = None
    command: str = ''


def run_benchmark(settings: Settings,
                  console: Console | None = None) -> dict[str, Any]:
    """Run the benchmark, or what is left of it.

    Returns:
        The content of ``WORK_DIR/results.json``.

    Raises:
        BenchmarkError: The settings cannot be run, or ``work_dir`` holds
            other ones. A run that fails is recorded instead.
    """
    _check_numbers(settings)
    # From the first file that is written on: another benchmark's runs may be
    # reading theirs.
    with _in_use(Path(settings.work_dir)):
        return _run(settings, console or Console())


def _check_numbers(settings: Settings) -> None:
    for name in ('num_classes', 'epochs', 'extra_epochs', 'val_interval',
                 'jobs', 'threads'):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise BenchmarkError(f'--{name.replace("_", "-")} must be 1 or '
                                 f'more, got {value}.')
    for seed in settings.seeds:
        if not 0 <= seed < 2**32:  # numpy's
            raise BenchmarkError('--seeds must be from 0 to 2**32 - 1, got '
                                 f'{seed}.')
    if not 0 < settings.extra_lr_mult < math.inf:
        raise BenchmarkError('--extra-lr-mult must be above 0, got '
                             f'{settings.extra_lr_mult}.')


def _run(settings: Settings, console: Console) -> dict[str, Any]:
    work_dir = Path(settings.work_dir)
    first = load_host(settings.hosts[0], settings.cfg_options)
    lists = _find_lists(settings, first, work_dir)
    names = settings.class_names and _read(
        '--class-names', settings.class_names, read_class_names)
    num_classes = settings.num_classes or (
        len(names) if names else _num_classes(first, settings.hosts[0]))
    if names and len(names) != num_classes:
        raise BenchmarkError(
            f'--class-names {settings.class_names} must hold '
            f'{num_classes} names, one for each class, got {len(names)}.')
    sizes = {split: len(read_labels(path, num_classes))
             for split, path in lists.items().items()}

    hosts = {
        Path(path).stem: host_config(
            path, lists, settings.data_root, num_classes,
            settings.cfg_options) for path in settings.hosts
    }
    if len(hosts) < len(settings.hosts):
        raise BenchmarkError('hosts must be configs with different file '
                             f'names, got {", ".join(settings.hosts)}.')
    epochs = settings.epochs or common_epochs(hosts)
    protocol = Protocol(epochs, settings.extra_epochs or (epochs + 1) // 2,
                        settings.warm_start, settings.extra_lr_mult,
                        settings.val_interval, settings.amp)
    jobs = plan_jobs(hosts, settings.variants, settings.seeds, protocol,
                     sizes['train'])
    threads = settings.threads or max(
        1, (os.cpu_count() or 1) // settings.jobs)
    head = dict(
        format=1,
        command=settings.command,
        date=datetime.date.today().isoformat(),
        machine=dict(describe_machine(), threads_per_run=threads,
                     runs_at_once=settings.jobs),
        data_set=dict(name=_data_set_name(settings, first, num_classes),
                      num_classes=num_classes, class_names=names,
                      **{split: sizes.get(split, 0)
                         for split in ('train', 'val', 'test')}),
        protocol=dict(asdict(protocol),
                      fold=settings.fold and '{}/{}'.format(*settings.fold),
                      cfg_options=settings.cfg_options or {}))
    groups = _given_groups(settings, lists, names, list(hosts),
                           head['data_set'], head['protocol'])

    def write_results(failed: dict[str, str]) -> dict[str, Any]:
        results = collect(head, jobs, work_dir, groups, failed)
        write_json(work_dir / 'results.json', results)
        return results

    digests = lists.digests()
    for job in jobs:
        prepare(job, work_dir, digests,
                {key: head[key] for key in ('command', 'date', 'machine')})
    failed = run_jobs(jobs, work_dir, settings.jobs, threads, console,
                      write_results)
    results = write_results(failed)
    if results['runs']:
        write_report(results, work_dir)
        console.print(f'Tables and pictures: {work_dir / "results.md"}',
                      highlight=False, soft_wrap=True)
    return results


def _num_classes(cfg: Config, path: str) -> int:
    found = (cfg.get('model', {}).get('cls_head') or {}).get('num_classes')
    if not isinstance(found, int):
        raise BenchmarkError(
            f'host {path}: model.cls_head.num_classes must be a number, got '
            f'{found!r}: give the config of a recognizer, or --num-classes.')
    return found


@contextlib.contextmanager
def _in_use(work_dir: Path) -> Iterator[None]:
    """Keep a second benchmark out; a killed one keeps nobody out."""
    work_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work_dir / '.lock', timeout=0):
            yield
    except Timeout as error:
        raise BenchmarkError(
            f'--work-dir {work_dir} is in use by another benchmark.'
        ) from error


def collect(head: dict[str, Any], jobs: Sequence[Job], work_dir: Path,
            groups: dict[str, Any] | None,
            failed: dict[str, str]) -> dict[str, Any]:
    """The content of ``results.json``, from the results there are.

    Args:
        head: Everything but groups and runs.
        jobs: All jobs.
        work_dir: The benchmark's.
        groups: Look-alike groups and their source; by default those of the
            baselines' validation confusions, once no baseline is missing.
        failed: Why jobs failed, by name.
    """
    done = [job for job in jobs
            if (work_dir / job.name / 'result.json').is_file()]
    if groups is None:
        pending = {job.name for job in jobs} - {j.name for j in done} - {
            *failed}
        if not any(job.variant == 'baseline' and job.name in pending
                   for job in jobs):
            groups = _find_groups(
                [work_dir / job.name / 'val_scores.npz' for job in done
                 if job.variant == 'baseline']) or dict(
                     source=NO_SCORES, groups=[])
    runs = []
    for job in done:
        run_dir = work_dir / job.name
        row = json.loads((run_dir / 'result.json').read_text())
        within = None
        if groups and groups['groups']:
            within = 100 * within_group_accuracy(
                *read_scores(run_dir / 'test_scores.npz'), groups['groups'])
        job_settings = json.loads((run_dir / 'job.json').read_text())
        runs.append(dict(
            _key(job), data_set=head['data_set']['name'], **row,
            within_group=within, work_dir=job.name, amp=job.amp,
            source=job_settings['source']))
    return dict(
        head, groups=groups or dict(source=None, groups=[]), runs=runs,
        failed=[dict(_key(job), reason=failed[job.name]) for job in jobs
                if job.name in failed])


def _key(job: Job) -> dict[str, Any]:
    return dict(host=job.host, variant=job.variant, seed=job.seed)


def _given_groups(settings: Settings, lists: Lists,
                  names: list[str] | None, hosts: list[str],
                  data_set: dict[str, Any],
                  protocol: dict[str, Any]) -> dict[str, Any] | None:
    """Groups that are known before anything is trained.

    Returns:
        None if they are to be found from validation confusions.
    """
    if settings.groups is None:
        # The test list must have no part in its own groups.
        return dict(source=NO_GROUPS, groups=[]) \
            if lists.tests_on_validation() else None
    groups = _read('--groups', settings.groups, lambda path: _read_groups(
        path, names, hosts, data_set['name'], protocol))
    try:
        check_groups(groups['groups'], data_set['num_classes'])
    except ValueError as error:
        raise BenchmarkError(f'--groups {settings.groups}: {error}'
                             ) from error
    return groups


def _read(option: str, path: str, read: Callable[[str], Any]) -> Any:
    """What is in an option's file."""
    try:
        return read(path)
    except OSError as error:
        raise BenchmarkError(f'{option} {path} cannot be read: '
                             f'{error.strerror}.') from error


def _read_groups(path: str, names: list[str] | None, hosts: list[str],
                 data_set: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """Groups of a file, which may be one of published numbers."""
    if not is_published(path):
        return dict(source=f'file {os.path.basename(path)}',
                    groups=read_groups(path, names))
    if len(hosts) > 1:
        raise BenchmarkError(f'--groups {path} has groups of each host: give '
                             f'one host, got {", ".join(hosts)}.')
    return published_groups(path, hosts[0], data_set, protocol)


def _find_groups(score_files: list[Path]) -> dict[str, Any] | None:
    """Groups of what all baselines together confuse in validation."""
    score_files = [path for path in score_files if path.is_file()]
    if not score_files:
        return None
    confusion = sum(confusions(*read_scores(path)) for path in score_files)
    return dict(source='validation confusions of the baseline',
                groups=groups_from_confusions(confusion))


def _find_lists(settings: Settings, first: Config, work_dir: Path) -> Lists:
    paths = {}
    for split in ('train', 'val', 'test'):
        name = settings.lists.get(split)
        is_missing = (split == 'val' and name is None
                      and first.get('val_dataloader') is None)
        try:
            paths[split] = None if is_missing else list_path(
                first, split, settings.data_root, name)
        except ValueError as error:
            raise BenchmarkError(f'host {settings.hosts[0]}: {error}'
                                 ) from error
    lists = Lists(**paths)
    if settings.fold is None:
        if settings.fold_by is not None:
            raise BenchmarkError('--fold-by needs --fold K/N, got '
                                 f'{settings.fold_by!r} without.')
        return lists
    if not settings.fold_by:
        raise BenchmarkError('--fold needs --fold-by, a regular expression '
                             'for the subject in the path of a clip.')
    fold, num_folds = settings.fold
    return write_fold(lists, settings.fold_by, fold, num_folds,
                      str(work_dir / 'lists'))


def _data_set_name(settings: Settings, first: Config,
                   num_classes: int) -> str:
    root = os.path.dirname(list_path(first, 'train', settings.data_root))
    name = settings.data_set or (
        f'{os.path.basename(os.path.abspath(root))}-{num_classes}')
    if settings.fold:
        name += ', fold {} of {}'.format(*settings.fold)
    return name
