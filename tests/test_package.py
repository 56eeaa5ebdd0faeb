"""Promises about the package as a whole."""
import ast
from importlib.metadata import requires
from pathlib import Path

import dsts_mmaction

PACKAGE = Path(dsts_mmaction.__file__).parent
METHOD = sorted((PACKAGE / 'dsts').glob('*.py'))
HOSTS = {'mmaction', 'mmengine', 'mmcv'}


def imported(path):
    """Names of modules from outside, and files that are imported here."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1].joinpath(
                *filter(None, (node.module or '').split('.')))
            yield from filter(Path.is_file, (
                folder.with_suffix('.py'), folder / '__init__.py',
                *(folder / f'{alias.name}.py' for alias in node.names)))


def test_the_method_imports_no_host_module():
    """Nor does what it imports of the package."""
    assert PACKAGE / 'dsts' / 'layer.py' in METHOD
    files, seen = list(METHOD), set()
    while files:
        path = files.pop()
        seen.add(path)
        for module in imported(path):
            if isinstance(module, Path):
                files += {module} - seen
            else:
                assert module.split('.')[0] not in HOSTS, path


def test_no_mmcv_is_required_outside_the_extras():
    plain = [line for line in requires('dsts_mmaction')
             if 'extra ==' not in line]
    assert any(line.startswith('mmaction2') for line in plain)
    assert not [line for line in plain if line.startswith('mmcv')]
