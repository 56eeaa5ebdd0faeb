"""Which versions of the host packages are needed, and which were tested."""
import importlib.util
import re
import warnings

import numpy as np
import torch

# First and last version of each host that the test suite has run with; a
# bound of two numbers stands for all patch releases.
TESTED: dict[str, tuple[str, str]] = {
    'mmaction2': ('1.2.0', '1.2.0'),
    'mmengine': ('0.10.0', '0.10.7'),
    'mmcv': ('2.0.1', '2.1.0'),
    'torch': ('2.6', '2.13'),
    'numpy': ('1.26', '1.26'),
}


def check_requirements() -> None:
    """Check for what pip may have left out, and for a safe torch.

    mmcv comes in two packages that exclude each other, so this package
    requires neither. setuptools 82 dropped ``pkg_resources``, which mmengine
    imports to resolve ``_base_ = 'mmaction::...'``.

    Raises:
        ImportError: If mmcv or ``pkg_resources`` is missing, or torch is
            older than 2.6.
    """
    if within(str(torch.__version__), '0', '2.5'):
        raise ImportError(
            f'dsts_mmaction needs torch 2.6 or newer, got '
            f'{torch.__version__}: with older ones, a checkpoint that is '
            'loaded can execute code.')
    if importlib.util.find_spec('mmcv') is None:
        raise ImportError(
            'dsts_mmaction needs mmcv, which is not installed: install '
            '"dsts_mmaction[lite]" (no compiled operators) or the full mmcv '
            '(>=2.0.0rc4, <2.2.0).')
    if importlib.util.find_spec('pkg_resources') is None:
        raise ImportError(
            'mmengine needs pkg_resources, which is not installed '
            '(setuptools 82 and newer do not have it): install '
            '"setuptools<82".')


def warn_untested() -> None:
    """Warn of each host whose version is outside :data:`TESTED`."""
    for host, version in host_versions().items():
        first, last = TESTED[host]
        if not within(version, first, last):
            tested = first if first == last else f'{first} to {last}'
            warnings.warn(
                f'dsts_mmaction was tested with {host} {tested}, and '
                f'{version} is installed.',
                stacklevel=4)  # at the line that imports this package


def host_versions() -> dict[str, str]:
    """The installed version of each host in :data:`TESTED`."""
    import mmcv
    import mmengine
    from mmaction.version import __version__ as mmaction_version
    return {
        'mmaction2': mmaction_version,
        'mmengine': mmengine.__version__,
        'mmcv': mmcv.__version__,
        'torch': str(torch.__version__),
        'numpy': np.__version__,
    }


def within(version: str, first: str, last: str) -> bool:
    """Compare as many numbers of the version as each bound has."""

    def numbers(text: str) -> tuple[int, ...]:
        release = re.match(r'\d+(\.\d+)*', text)
        return tuple(int(n) for n in release.group().split('.'))

    low, high, found = numbers(first), numbers(last), numbers(version)
    return low <= found[:len(low)] and found[:len(high)] <= high
