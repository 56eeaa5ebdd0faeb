"""What a number was measured on."""
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..version import __version__

# Its key among what a number was measured on.
PACKAGE = 'dsts_mmaction'


def describe_machine() -> dict[str, Any]:
    """Processor, cores, GPU (None without one) and versions."""
    cpu = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        models = [line.partition(':')[2].strip()
                  for line in info.read_text().splitlines()
                  if line.startswith('model name')]
        cpu = models[0] if models else cpu
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return dict(
        cpu=cpu, cores=os.cpu_count(), gpu=gpu,
        python=platform.python_version(), torch=torch.__version__,
        **{name: version(name) for name in ('mmengine', 'mmaction2')},
        **{PACKAGE: __version__})
