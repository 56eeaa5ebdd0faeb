import importlib.util
import warnings

import numpy as np
import pytest
import torch

from dsts_mmaction.compat import TESTED, versions


@pytest.mark.parametrize('version, inside', [
    ('2.13.0+cpu', True), ('2.13.9', True), ('2.12.1', False),
    ('2.14.0a0', False), ('3.0', False)])
def test_within(version, inside):
    assert versions.within(version, '2.13', '2.13') is inside


def test_untested_versions_warn_once(monkeypatch):
    found = versions.host_versions()
    assert found.keys() == TESTED.keys()
    assert found['numpy'] == np.__version__

    hosts = {host: first for host, (first, _) in TESTED.items()}
    monkeypatch.setattr(versions, 'host_versions', lambda: hosts)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        versions.warn_untested()
    hosts['numpy'] = '2.4.0'
    with pytest.warns(UserWarning) as records:
        versions.warn_untested()
    assert [str(record.message) for record in records] == [
        'dsts_mmaction was tested with numpy 1.26, and 2.4.0 is installed.']


@pytest.mark.parametrize('missing, remedy', [
    ('mmcv', r'dsts_mmaction\[lite\]'), ('pkg_resources', 'setuptools<82')])
def test_missing_requirement(monkeypatch, missing, remedy):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec',
        lambda name: None if name == missing else find_spec(name))
    with pytest.raises(ImportError, match=remedy):
        versions.check_requirements()


def test_old_torch(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.5.1+cpu')
    with pytest.raises(ImportError, match=r'needs torch 2\.6 .* 2\.5\.1\+cpu'):
        versions.check_requirements()
