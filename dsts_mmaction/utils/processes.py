"""Processes that train: what they start with, and how they are ended."""
import os
import subprocess

from .malloc import KEEP_FREED_MEMORY

# Seconds that a process has to end by itself.
PATIENCE = 10


def training_environment(threads: int | None = None) -> dict[str, str]:
    """This process's environment, for trainings on a busy CPU.

    Settings of the user's own are left alone.

    Args:
        threads: Threads of one process; by default one per core.
    """
    env = dict(os.environ)
    # Data loading and training share few cores: threads of OpenMP that wait
    # must not spin, which made training several times slower on a busy CPU.
    env.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    for variable, value in KEEP_FREED_MEMORY.items():
        env.setdefault(variable, value)
    if threads is not None:
        env['OMP_NUM_THREADS'] = env['MKL_NUM_THREADS'] = str(threads)
    return env


def end_process(process: subprocess.Popen) -> None:
    """End a process if it still runs, and wait until it has."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
