"""Every mutation still finds the place that it changes."""
import shutil

import pytest

from research.mutations import MUTATIONS, PACKAGE, ROOT, apply


@pytest.mark.parametrize('mutation', MUTATIONS,
                         ids=[f'{m.file}-{m.old}' for m in MUTATIONS])
def test_place_is_there_once(mutation, tmp_path):
    file = tmp_path / PACKAGE / mutation.file
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / PACKAGE / mutation.file, file)
    before = file.read_text()
    apply(mutation, tmp_path)
    after = file.read_text()
    assert after != before
    compile(after, str(file), 'exec')
