"""apply, and the packages of mmaction2 that may be missing or broken."""
import sys
from pathlib import Path

import mmaction
import pytest
from mmaction.registry import MODELS
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner

from dsts_mmaction.compat import apply, transformers
from tests.test_compat.helpers import run_python

DRN, VINDLU = 'models/localizers/drn', 'models/multimodal/vindlu'


@pytest.fixture
def other_transformers(tmp_path):
    """A folder with a transformers that lacks what VindLU imports."""
    info = tmp_path / 'transformers-5.0.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 5.0.0\n')
    (tmp_path / 'transformers.py').write_text('')
    return tmp_path


def copy_of_mmaction(root, *packages):
    """A copy, of links, with empty folders in place of some packages."""
    copy, real = root / 'mmaction', Path(mmaction.__file__).parent
    for package in packages:
        (copy / package).mkdir(parents=True)
    for folder in {f for p in packages for f in Path(p).parents}:
        for entry in (real / folder).iterdir():
            link = copy / folder / entry.name
            if entry.name != '__pycache__' and not link.exists():
                link.symlink_to(entry)
    return copy


def patched_functions():
    return [AmpOptimWrapper.__init__, Runner._maybe_compile,
            Runner.build_dataloader]


def test_apply_again_changes_nothing():
    functions, finders = patched_functions(), list(sys.meta_path)
    apply()
    assert functions == patched_functions() and finders == sys.meta_path


def test_drn_stand_in():
    """Skipped where a mmaction2 with the real package is installed."""
    from mmaction.models.localizers.drn import drn
    if hasattr(drn, '__file__'):
        pytest.skip('this mmaction2 has its DRN package')
    assert MODELS.get('DRN') is drn.DRN
    with pytest.raises(ImportError, match='from its source tree'):
        MODELS.build(dict(type='DRN', vocab_size=1))


def test_what_is_there_is_not_hidden(other_transformers):
    """And the import loads no dynamo, unless the hosts do."""
    copy = copy_of_mmaction(other_transformers, DRN, VINDLU)
    (copy / DRN / 'drn.py').write_text('class DRN:\n    real = True\n')
    (copy / VINDLU / '__init__.py').write_text('VindLUVQA = 1\n')
    output = run_python(
        '-c',
        'import sys, mmengine.runner, mmaction.datasets\n'
        'before = "torch._dynamo" in sys.modules\n'
        'import dsts_mmaction, mmaction.models\n'
        'assert before == ("torch._dynamo" in sys.modules)\n'
        'from mmaction.models import VindLUVQA, localizers, multimodal\n'
        'from mmaction.registry import MODELS\n'
        'print(localizers.__file__, localizers.DRN.real)\n'
        'print(multimodal.__file__, VindLUVQA, "VindLUVQA" in MODELS)',
        cwd='/', paths=[other_transformers])
    assert output.splitlines() == [
        f'{copy}/models/localizers/__init__.py True',
        f'{copy}/models/multimodal/__init__.py 1 False']


def test_models_beside_other_transformers(other_transformers):
    output = run_python(
        '-c',
        'import dsts_mmaction, mmaction.models\n'
        'from mmaction.registry import MODELS\n'
        'assert "TSMHead" in MODELS\n'
        'for kind in "VQA", "Retrieval", "RetrievalMC":\n'
        '    try:\n'
        '        MODELS.build(dict(type=f"VindLU{kind}", model_cfg={}))\n'
        '    except ImportError as error:\n'
        '        print(error)',
        cwd='/', paths=[other_transformers])
    for kind in 'VQA', 'Retrieval', 'RetrievalMC':
        reason = f'VindLU{kind} of mmaction2 cannot be imported: '
        assert reason in output
        assert 'transformers' in output.rpartition(reason)[2]


def test_other_errors_of_vindlu_are_told(other_transformers):
    copy = copy_of_mmaction(other_transformers, VINDLU)
    (copy / VINDLU / '__init__.py').write_text('1 / 0\n')
    finder = next(finder for finder in sys.meta_path
                  if isinstance(finder, transformers._VindLUFinder))
    spec = finder.find_spec(transformers._VINDLU,
                            [str(copy / 'models/multimodal')])
    with pytest.raises(ZeroDivisionError):
        spec.loader.exec_module(type(sys)(spec.name))
