"""What is broken in the host packages, and what mends it.

:func:`apply` runs when this package is imported, before ``mmaction.models``
is, in every process that imports it (training, launched ranks, tools). One
file for each host, one function for each defect:

- :func:`.mmaction2.patch_drn`: mmaction2 1.2.0 cannot import
  ``mmaction.models``. Does nothing where the real ``drn`` is found.
- :func:`.transformers.patch_vindlu`: mmaction2 1.2.0 cannot import
  ``mmaction.models`` beside transformers 5, or any from 4.28 on without timm.
  Does nothing where VindLU can be imported, or is not asked for.
- :func:`.checkpoints.patch_loading`: torch >= 2.6 refuses the checkpoints of
  MMEngine. Does nothing to what torch knows itself.
- :func:`.mmengine.patch_cpu_amp`: ``--amp`` needs a GPU, in mmengine 0.10.7
  and before. Does nothing where there is any accelerator.
- :func:`.mmaction2.patch_bfloat16_scores`: mmaction2 1.2.0 makes numpy arrays
  of bfloat16 scores. Does nothing to scores of another type.
- :func:`.mmengine.patch_cpu_launch`: ``--launcher`` needs a GPU, in mmengine
  0.10.7 and before. Does nothing where there is any accelerator.
- :func:`.mmengine.patch_compile`: ``compile=True`` fails, in mmengine 0.10.7
  and before. Does nothing unless a config asks for it.
- :func:`.mmaction2.patch_missing_pretrained`: three backbones of mmaction2
  1.2.0 load ``pretrained=None``. Does nothing where a checkpoint is named.
- :func:`.mmengine.patch_collate_scope`: configs that inherit a ``collate_fn``
  cannot load data, in mmengine 0.10.7 and before. Does nothing to a
  ``collate_fn`` without MMEngine's mark.
- :func:`.decord.patch_truncated_avi`: decord 0.6.0 crashes on a truncated
  AVI. Does nothing to other files and other storage.
"""
from .checkpoints import patch_loading
from .decord import patch_truncated_avi
from .mmaction2 import (
    patch_bfloat16_scores,
    patch_drn,
    patch_missing_pretrained,
)
from .mmengine import (
    patch_collate_scope,
    patch_compile,
    patch_cpu_amp,
    patch_cpu_launch,
)
from .transformers import patch_vindlu
from .versions import TESTED, check_requirements, warn_untested

__all__ = ['TESTED', 'apply']


def apply() -> None:
    """Make the installed host packages usable; again, it changes nothing.

    Raises:
        ImportError: If mmcv or ``pkg_resources`` is not installed, or torch
            is too old.
    """
    check_requirements()
    # Before anything that imports mmaction.models.
    patch_drn()
    patch_vindlu()
    warn_untested()
    patch_loading()
    patch_cpu_amp()
    patch_bfloat16_scores()
    patch_cpu_launch()
    patch_compile()
    patch_missing_pretrained()
    patch_collate_scope()
    patch_truncated_avi()
