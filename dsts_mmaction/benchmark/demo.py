"""The demo: train and test a recognizer with and without DSTS on SynthDive.

Every step leaves its result in the work directory and is skipped when the
result is there, so that a stopped demo goes on where it was::

    WORK_DIR/demo.json            settings of this demo
    WORK_DIR/NAME/                runs of tools/train.py, train.log
    WORK_DIR/NAME/test/           run of tools/test.py, test.log
    WORK_DIR/NAME/result.json     measured numbers, predictions
    WORK_DIR/results.md           the table
    WORK_DIR/separated_pair.png   two classes that DSTS separates better
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from ..datasets import (
    SynthDiveConfig,
    class_names,
    draw_contact_sheet,
    write_dataset,
)
from ..utils.atomic import write_json, write_text
from ..utils.markdown import markdown_table
from ..utils.processes import end_process, training_environment
from ..utils.reporter import Reporter
from ..utils.training_log import (
    is_trained,
    last_checkpoint,
    last_training_record,
    median_iter_time,
    read_scalars,
)
from .separated_pair import counts, draw_separated_pair, separated_pair

CONFIG_DIR = os.path.join('configs', 'tsn')
BASELINE = 'tsn_r18_1xb16-1x1x8-8e_synthdive-rgb.py'
CONFIGS = {'TSN': BASELINE, 'TSN + DSTS': f'dsts-{BASELINE}'}
NUM_CLIPS = dict(train=720, val=120, test=240)
DIFFICULTY = 0.3
POLL_SECONDS = 0.5
LOG_TAIL = 15


class DemoError(RuntimeError):
    """A step of the demo failed; the message says where to look."""


@dataclass(frozen=True)
class Result:
    """Measured numbers of one recognizer.

    ``top1`` and ``mean_class`` are parts of 1, ``seconds_per_iter`` is the
    median over training or None if training was too short to tell,
    ``predictions`` are the labels predicted for the test clips in order.
    """
    name: str
    top1: float
    mean_class: float
    num_parameters: int
    seconds_per_iter: float | None
    predictions: list[int]


def read_test(path: str) -> dict[str, Any] | None:
    """What a test left, None if it is not finished.

    Args:
        path: ``out_file`` of the test's FineGrainedMetric.
    """
    if not os.path.isfile(path):
        return None
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def read_result(run_dir: str) -> Result | None:
    """The saved result of a recognizer, None if it is not finished."""
    path = os.path.join(run_dir, 'result.json')
    if not os.path.isfile(path):
        return None
    with open(path, encoding='utf-8') as file:
        return Result(**json.load(file))


def result_rows(results: list[Result]) -> list[list[str]]:
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


def rich_table(rows: list[list[str]]) -> Table:
    """A table for the terminal of rows of text, header first."""
    table = Table(title='SynthDive, test split')
    for i, name in enumerate(rows[0]):
        table.add_column(name, justify='right' if i else 'left')
    for row in rows[1:]:
        table.add_row(*row)
    return table


def check_settings(work_dir: str, settings: dict[str, Any]) -> None:
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
    write_text(path, json.dumps(settings, indent=2) + '\n')


def run_step(command: list[str],
             log_path: str,
             on_poll: Callable[[], None],
             env: dict[str, str] | None = None) -> None:
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
            end_process(process)
    on_poll()
    if process.returncode:
        with open(log_path, encoding='utf-8', errors='replace') as log:
            tail = ''.join(log.readlines()[-LOG_TAIL:])
        raise DemoError(
            f'{tail}\n{os.path.basename(command[1])} failed with exit status '
            f'{process.returncode}: its whole output is in {log_path}.')


def run_demo(root: str,
             work_dir: str,
             data_root: str,
             seed: int = 0,
             console: Console | None = None) -> list[Result]:
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
    write_text(report, markdown_table(rows))
    console.print(rich_table(rows))
    console.print(f'Also in {report}', highlight=False)
    picture = os.path.join(work_dir, 'separated_pair.png')
    console.print(
        _draw_pair(data, results, picture), highlight=False, soft_wrap=True)
    return results


def _draw_pair(data: SynthDiveConfig, results: list[Result],
               path: str) -> str:
    """Draw the classes that the second recognizer separates best.

    Returns:
        What there is to see, for the terminal.
    """
    names = class_names(data)
    # The test split's labels, see sample_clip.
    labels = [i % len(names) for i in range(NUM_CLIPS['test'])]
    predictions = {result.name: result.predictions for result in results}
    pair = separated_pair(labels, *predictions.values())
    if pair is None:
        return (f'{results[1].name} confuses no pair of classes less than '
                f'{results[0].name}, so none is drawn.')
    draw_separated_pair(data, pair, predictions, path)
    first, second = names[pair.change.first], names[pair.change.second]
    return (f'Clips of {first} and {second} taken for each other: '
            f'{counts(pair, list(predictions))}\nPicture in {path}')


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
    env = training_environment()
    env['PYTHONPATH'] = os.pathsep.join(
        filter(None, [os.path.abspath(root),
                      env.get('PYTHONPATH')]))

    def tool(script: str, *args: str) -> list[str]:
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
    test_file = os.path.join(test_dir, 'predictions.json')
    if read_test(test_file) is None:
        with Reporter(console, f'{name}: testing', 0):
            run_step(
                tool('test.py', config, last_checkpoint(run_dir), '--work-dir',
                     test_dir, *options,
                     f'test_evaluator.out_file={test_file}'),
                os.path.join(run_dir, 'test.log'), lambda: None, env)
    test = read_test(test_file)
    if test is None:
        raise DemoError(f'{test_file} is missing after testing: its output '
                        f'is in {os.path.join(run_dir, "test.log")}.')
    result = Result(
        name=name,
        top1=test['metrics']['acc/top1'],
        mean_class=test['metrics']['acc/mean1'],
        num_parameters=_count_parameters(cfg),
        seconds_per_iter=median_iter_time(read_scalars(run_dir)),
        predictions=test['predictions'])
    write_json(os.path.join(run_dir, 'result.json'), asdict(result))
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
