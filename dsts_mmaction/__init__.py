"""Dynamic Spatio-Temporal Specialization for MMAction2.

Importing the package makes the installed host packages usable and registers
everything here in MMAction2's registries, so that a config needs only::

    custom_imports = dict(imports=['dsts_mmaction'],
                          allow_failed_imports=False)
"""
from . import compat

# Before anything below: it imports mmaction.models.
compat.apply()

from . import adapters, engine, evaluation, models, optim, udl  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = ['__version__', 'adapters', 'engine', 'evaluation', 'models',
           'optim', 'udl']
