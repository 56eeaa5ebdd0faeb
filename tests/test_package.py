"""Promises about the package as a whole."""
import ast
from importlib.metadata import requires
from pathlib import Path

import dsts_mmaction

PACKAGE = Path(dsts_mmaction.__file__).parent
METHOD = sorted((PACKAGE / 'dsts').glob('*.py'))
HOSTS = {'mmaction', 'mmengine', 'mmcv'}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import may go no further up than the method's folder.
            assert node.level <= 1, path
            if not node.level:
                yield node.module


def test_the_method_imports_no_host_module():
    assert PACKAGE / 'dsts' / 'layer.py' in METHOD
    for path in METHOD:
        hosts = {name.split('.')[0] for name in imported(path)} & HOSTS
        assert not hosts, path


def test_no_mmcv_is_required_outside_the_extras():
    plain = [line for line in requires('dsts_mmaction')
             if 'extra ==' not in line]
    assert any(line.startswith('mmaction2') for line in plain)
    assert not [line for line in plain if line.startswith('mmcv')]
