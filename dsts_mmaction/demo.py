"""The demo: train and test a recognizer with and without DSTS on SynthDive.

Every step leaves its result in the work directory and is skipped when the
result is there, so that a stopped demo goes on where it was::

    WORK_DIR/demo.json            settings of this demo
    WORK_DIR/NAME/                runs of tools/train.py, train.log
    WORK_DIR/NAME/test/           run of tools/test.py, test.log
    WORK_DIR/NAME/result.json     measured numbers
    WORK_DIR/results.md           the table
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, List, Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .datasets import SynthDiveConfig, draw_contact_sheet, write_dataset
from .utils.malloc import KEEP_FREED_MEMORY
from .utils.markdown import markdown_table

CONFIG_DIR = os.path.join('configs', 'tsm')
BASELINE = 'tsm_r18_1xb16-1x1x8-8e_synthdive-rgb.py'
CONFIGS = {'TSM': BASELINE, 'TSM + DSTS': f'dsts-{BASELINE}'}
NUM_CLIPS = dict(train=720, val=120, test=240)
DIFFICULTY = 0.6
# Iterations left out of the timing after each start: they include the start
# of the data loading processes and of PyTorch's own caches.
WARMUP_ITERS = 10
POLL_SECONDS = 0.5
# Without a terminal, a line of progress is printed this often.
PLAIN_SECONDS = 20.0
LOG_TAIL = 15


class DemoError(RuntimeError):
    """A step of the demo failed; the message says where to look."""


@dataclass(frozen=True)
class Result:
    """Measured numbers of one recognizer.

    ``top1`` and ``mean_class`` are parts of 1, ``seconds_per_iter`` is the
    median over training or None if training was too short to tell.
    """
    name: str
    top1: float
    mean_class: float
    num_parameters: int
    seconds_per_iter: Optional[float]


def read_scalars(run_dir: str) -> List[List[Dict[str, Any]]]:
    """Records of the training log, one list for each start of the training.

    Args:
        run_dir: A work directory of ``tools/train.py``.

    Returns:
        Records of all ``*/vis_data/scalars.json`` in the order of time. A
        last line that is still being written is left out.
    """
    if not os.path.isdir(run_dir):
        return []
    starts = []
    for name in sorted(os.listdir(run_dir)):
        path = os.path.join(run_dir, name, 'vis_data', 'scalars.json')
        if not os.path.isfile(path):
            continue
        records = []
        with open(path, encoding='utf-8') as file:
            for line in file:
                try:
                    records.append(json.loads(line))
                except ValueError:
                    continue
        starts.append(records)
    return starts


def last_training_record(
        starts: List[List[Dict[str, Any]]]) -> Optional[Dict[str, Any]]:
    """The newest record of a training iteration, None if there is none."""
    for records in reversed(starts):
        for record in reversed(records):
            if 'iter' in record and 'loss' in record:
                return record
    return None


def median_iter_time(starts: List[List[Dict[str, Any]]],
                     warmup: int = WARMUP_ITERS) -> Optional[float]:
    """Median seconds per training iteration.

    Args:
        starts: What :func:`read_scalars` returns.
        warmup: Iterations left out after each start.

    Returns:
        None if no later iteration was logged.
    """
    times = []
    for records in starts:
        records = [r for r in records if 'iter' in r and 'time' in r]
        # The first record comes some iterations after the start.
        begin = records[0]['iter'] if records else 0
        times += [
            r['time'] for r in records[1:] if r['iter'] - begin >= warmup
        ]
    return statistics.median(times) if times else None


def last_checkpoint(run_dir: str) -> Optional[str]:
    """The newest whole checkpoint of a training, None if there is none."""
    pointer = os.path.join(run_dir, 'last_checkpoint')
    if not os.path.isfile(pointer):
        return None
    with open(pointer, encoding='utf-8') as file:
        # The work directory may have been moved since.
        path = os.path.join(run_dir, os.path.basename(file.read().strip()))
    return path if os.path.isfile(path) else None


def is_trained(run_dir: str, max_epochs: int) -> bool:
    """Whether the training in ``run_dir`` reached its last epoch."""
    checkpoint = last_checkpoint(run_dir)
    return (checkpoint is not None
            and os.path.basename(checkpoint) == f'epoch_{max_epochs}.pth')


def read_metrics(test_dir: str) -> Optional[Dict[str, float]]:
    """Metrics of the newest finished test, None if there is none.

    Args:
        test_dir: A work directory of ``tools/test.py``.
    """
    if not os.path.isdir(test_dir):
        return None
    for name in sorted(os.listdir(test_dir), reverse=True):
        path = os.path.join(test_dir, name, f'{name}.json')
        if not os.path.isfile(path):
            continue
        with open(path, encoding='utf-8') as file:
            try:
                metrics = json.load(file)
            except ValueError:
                continue
        if 'acc/top1' in metrics:
            return metrics
    return None


def read_result(run_dir: str) -> Optional[Result]:
    """The saved result of a recognizer, None if it is not finished."""
    path = os.path.join(run_dir, 'result.json')
    if not os.path.isfile(path):
        return None
    with open(path, encoding='utf-8') as file:
        return Result(**json.load(file))


def result_rows(results: List[Result]) -> List[List[str]]:
    """Results as text, header first."""
    rows = [[
        'Recognizer', 'Top-1 (%)', 'Mean class (%)', 'Parameters (M)',
        'Training (s/iter)'
    ]]
    for result in results:
        seconds = result.seconds_per_iter
        rows.append([
            result.name, f'{100 * result.top1:.1f}',
            f'{100 * result.mean_class:.1f}',
            f'{result.num_parameters / 1e6:.2f}',
            'n/a' if seconds is None else f'{seconds:.3f}'
        ])
    return rows


def rich_table(rows: List[List[str]]) -> Table:
    """A table for the terminal of rows of text, header first."""
    table = Table(title='SynthDive, test split')
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify='right' if i else 'left')
    for row in rows[1:]:
        table.add_row(*row)
    return table


def check_settings(work_dir: str, settings: Dict[str, Any]) -> None:
    """Make sure that results in ``work_dir`` belong to ``settings``.

    Writes ``demo.json`` in a new directory.

    Raises:
        DemoError: The directory holds a demo with other settings.
    """
    path = os.path.join(work_dir, 'demo.json')
    if os.path.isfile(path):
        with open(path, encoding='utf-8') as file:
            found = json.load(file)
        names = sorted(key for key in {*found, *settings}
                       if found.get(key) != settings.get(key))
        if names:
            raise DemoError(
                f'{work_dir} holds a demo with another {", ".join(names)}: '
                'choose another --work-dir or remove this one.')
        return
    os.makedirs(work_dir, exist_ok=True)
    _write_text(path, json.dumps(settings, indent=2) + '\n')


def run_step(command: List[str],
             log_path: str,
             on_poll: Callable[[], None],
             env: Optional[Dict[str, str]] = None) -> None:
    """Run a command to its end, its output going to a file.

    Args:
        command: Program and arguments.
        log_path: File that the output is appended to.
        on_poll: Called twice a second meanwhile.
        env: Environment of the command, default this process's.

    Raises:
        DemoError: The command failed; the message holds the end of its log.
    """
    os.makedirs(os.path.dirname(log_path), exist_ok=True)
    with open(log_path, 'a', encoding='utf-8') as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=env)
        try:
            while process.poll() is None:
                on_poll()
                time.sleep(POLL_SECONDS)
        finally:
            # Ctrl-C, or an error here: leave no training behind.
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    on_poll()
    if process.returncode:
        with open(log_path, encoding='utf-8', errors='replace') as log:
            tail = ''.join(log.readlines()[-LOG_TAIL:])
        raise DemoError(
            f'{tail}\n{os.path.basename(command[1])} failed with exit status '
            f'{process.returncode}: its whole output is in {log_path}.')


class Reporter:
    """Progress as a bar in a terminal, as a line now and then elsewhere.

    Args:
        console: Where to print.
        name: What is going on.
        total: Number of units of work; 0 if unknown.
    """

    def __init__(self, console: Console, name: str, total: int) -> None:
        self.console, self.name, self.total = console, name, total
        self._next_line = time.monotonic() + PLAIN_SECONDS
        self._progress: Optional[Progress] = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn('{task.description}'),
                BarColumn(),
                TextColumn('{task.fields[note]}'),
                TimeElapsedColumn(),
                console=console)
            self._task = self._progress.add_task(
                name, total=total or None, note='starting')

    def __enter__(self) -> 'Reporter':
        if self._progress:
            self._progress.start()
        else:
            self.console.print(f'{self.name} …')
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, done: int, note: str) -> None:
        """Show that ``done`` units are done, with a remark."""
        if self._progress:
            self._progress.update(self._task, completed=done, note=note)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_SECONDS
            self.console.print(f'  {note}', highlight=False)


def run_demo(root: str,
             work_dir: str,
             data_root: str,
             seed: int = 0,
             console: Optional[Console] = None) -> List[Result]:
    """Run the demo, or what is left of it.

    Training resumes from the last finished epoch. As MMEngine does not save
    random states, a resumed training draws other samples than one that was
    never stopped.

    Args:
        root: Checkout with ``configs/`` and ``tools/``.
        work_dir: Directory for logs, checkpoints and results.
        data_root: Directory for the SynthDive data set.
        seed: Seed of the data set and of the trainings.
        console: Where to print, default the terminal.

    Returns:
        One result for each recognizer.

    Raises:
        DemoError: A step failed, or ``work_dir`` belongs to another demo.
        FileExistsError: ``data_root`` holds something else.
    """
    console = console or Console()
    data = SynthDiveConfig(difficulty=DIFFICULTY, seed=seed)
    configs = {
        name: os.path.join(root, CONFIG_DIR, file)
        for name, file in CONFIGS.items()
    }
    for path in configs.values():
        if not os.path.isfile(path):
            raise DemoError(f'{path} is missing: run the demo from a checkout '
                            'of the repository.')
    check_settings(
        work_dir,
        dict(
            seed=seed,
            data_set=dict(data.to_dict(), num_clips=NUM_CLIPS),
            configs={n: _config_digest(p)
                     for n, p in configs.items()}))

    if not console.is_terminal:
        console.print('Writing the data set …')
    write_dataset(
        data,
        data_root,
        NUM_CLIPS,
        num_workers=os.cpu_count() or 1,
        progress=console.is_terminal)
    draw_contact_sheet(data, os.path.join(data_root, 'contact_sheet.png'))

    results = [
        _run_recognizer(name, path, root, work_dir, data_root, seed, console)
        for name, path in configs.items()
    ]
    rows = result_rows(results)
    report = os.path.join(work_dir, 'results.md')
    _write_text(report, markdown_table(rows))
    console.print(rich_table(rows))
    console.print(f'Also in {report}', highlight=False)
    return results


def _run_recognizer(name: str, config: str, root: str, work_dir: str,
                    data_root: str, seed: int, console: Console) -> Result:
    """Train and test one recognizer, or return its saved result."""
    from mmengine.config import Config

    stem = os.path.splitext(os.path.basename(config))[0]
    run_dir = os.path.join(work_dir, stem)
    result = read_result(run_dir)
    if result is not None:
        console.print(f'{name}: already trained and tested')
        return result

    cfg = Config.fromfile(config)
    max_epochs = cfg.train_cfg.max_epochs
    total = max_epochs * (
        NUM_CLIPS['train'] // cfg.train_dataloader.batch_size)
    # The data set may lie anywhere; the configs say data/synthdive.
    options = ['--cfg-options'] + [
        f'{loader}.dataset.data_root={os.path.abspath(data_root)}'
        for loader in ('train_dataloader', 'val_dataloader',
                       'test_dataloader')
    ]
    env = dict(os.environ)
    # Data loading and training share few cores: threads of OpenMP that wait
    # must not spin, which made training several times slower on a busy CPU.
    env.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    for variable, value in KEEP_FREED_MEMORY.items():
        env.setdefault(variable, value)
    env['PYTHONPATH'] = os.pathsep.join(
        filter(None, [os.path.abspath(root),
                      env.get('PYTHONPATH')]))

    def tool(script: str, *args: str) -> List[str]:
        return [sys.executable, os.path.join(root, 'tools', script), *args]

    if not is_trained(run_dir, max_epochs):
        with Reporter(console, f'{name}: training', total) as reporter:

            def show_training() -> None:
                record = last_training_record(read_scalars(run_dir))
                if record:
                    reporter.update(
                        record['iter'],
                        f"epoch {record['epoch']}/{max_epochs}, iteration "
                        f"{record['iter']}/{total}, loss "
                        f"{record['loss']:.3f}")

            run_step(
                tool('train.py', config, '--work-dir', run_dir, '--resume',
                     '--seed', str(seed), *options),
                os.path.join(run_dir, 'train.log'), show_training, env)
        if not is_trained(run_dir, max_epochs):
            raise DemoError(f'{run_dir} has no epoch_{max_epochs}.pth after '
                            'training: its output is in '
                            f'{os.path.join(run_dir, "train.log")}.')
    else:
        console.print(f'{name}: already trained')

    test_dir = os.path.join(run_dir, 'test')
    if read_metrics(test_dir) is None:
        with Reporter(console, f'{name}: testing', 0):
            run_step(
                tool('test.py', config, last_checkpoint(run_dir), '--work-dir',
                     test_dir, *options), os.path.join(run_dir, 'test.log'),
                lambda: None, env)
    metrics = read_metrics(test_dir)
    if metrics is None:
        raise DemoError(f'{test_dir} holds no acc/top1 after testing: its '
                        f'output is in {os.path.join(run_dir, "test.log")}.')
    result = Result(
        name=name,
        top1=metrics['acc/top1'],
        mean_class=metrics['acc/mean1'],
        num_parameters=_count_parameters(cfg),
        seconds_per_iter=median_iter_time(read_scalars(run_dir)))
    _write_text(
        os.path.join(run_dir, 'result.json'),
        json.dumps(asdict(result), indent=2) + '\n')
    return result


def _config_digest(path: str) -> str:
    """A digest of a config with its bases, to notice that it changed."""
    from mmengine.config import Config
    text = json.dumps(
        Config.fromfile(path).to_dict(), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _count_parameters(cfg: Any) -> int:
    """Number of trained parameters of a config's model."""
    from mmaction.registry import MODELS
    from mmaction.utils import register_all_modules
    register_all_modules()
    model = MODELS.build(cfg.model)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _write_text(path: str, text: str) -> None:
    temporary = f'{path}.tmp'
    with open(temporary, 'w', encoding='utf-8') as file:
        file.write(text)
    os.replace(temporary, path)
