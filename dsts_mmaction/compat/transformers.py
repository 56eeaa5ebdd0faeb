"""What of mmaction2 is broken beside other versions of transformers."""
import functools
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_VINDLU = 'mmaction.models.multimodal.vindlu'


def patch_vindlu() -> None:
    """Stand in for VindLU where it cannot be imported.

    mmaction2 1.2.0 imports it with its other models as soon as transformers
    4.28 or newer is installed. That fails without timm, and beside
    transformers 5, which dropped names that VindLU imports.
    """
    if not any(isinstance(finder, _VindLUFinder) for finder in sys.meta_path):
        # Before the standard finders: they would find it.
        sys.meta_path.insert(0, _VindLUFinder())


class _VindLUFinder(MetaPathFinder):
    """Finds VindLU's package as ever, and survives that it fails."""

    def find_spec(self,
                  fullname: str,
                  path: Any = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _VINDLU:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader.exec_module = functools.partial(
                _import_or_stand_in, spec.loader.exec_module)
        return spec


def _import_or_stand_in(import_module: Callable[[ModuleType], None],
                        module: ModuleType) -> None:
    try:
        import_module(module)
    except (ImportError, RuntimeError) as error:  # some of transformers' own
        for name in ('VindLUVQA', 'VindLURetrieval', 'VindLURetrievalMC'):
            _register_stand_in(name, error)


def _register_stand_in(name: str, reason: Exception) -> None:
    from mmaction.registry import MODELS

    def fail(**kwargs: Any) -> None:
        raise ImportError(f'{name} of mmaction2 cannot be imported: {reason}'
                          ) from reason

    MODELS.register_module(name=name, module=fail, force=True)
