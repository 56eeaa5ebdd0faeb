"""Restarting a script with memory that is kept."""
import os
import subprocess
import sys

import pytest

from dsts_mmaction.utils.malloc import KEEP_FREED_MEMORY
from dsts_mmaction.utils.memory import in_new_process

SCRIPT = '''
import os, sys
sys.path.insert(0, {root!r})
from dsts_mmaction.utils.malloc import restart_keeping_freed_memory
print('started', flush=True)
restart_keeping_freed_memory()
print(sys.argv[1:], *(os.environ[name] for name in {names!r}))
'''
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


def settings():
    return [os.environ.get(name) for name in KEEP_FREED_MEMORY]


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc only')
@pytest.mark.parametrize('own', [{}, {'MALLOC_TRIM_THRESHOLD_': '123'},
                                 KEEP_FREED_MEMORY])
def test_a_script_starts_anew_once_with_the_same_arguments(own, tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT.format(root=ROOT, names=list(KEEP_FREED_MEMORY)))
    env = {name: value for name, value in os.environ.items()
           if name not in KEEP_FREED_MEMORY}
    done = subprocess.run(
        [sys.executable, str(script), '--only', 'a b'], capture_output=True,
        text=True, env={**env, **own})
    *starts, last = done.stdout.splitlines()
    assert starts == ['started'] * (1 if own == KEEP_FREED_MEMORY else 2)
    expected = {**KEEP_FREED_MEMORY, **own}
    assert last == ' '.join(["['--only', 'a b']", *expected.values()])


def test_memory_is_measured_without(monkeypatch):
    for name, value in KEEP_FREED_MEMORY.items():
        monkeypatch.setenv(name, value)
    assert in_new_process(settings) == [None, None]
    assert settings() == list(KEEP_FREED_MEMORY.values())
