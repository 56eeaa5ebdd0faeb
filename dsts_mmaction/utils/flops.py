"""Operations, counted as they are executed."""
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_flops(run: Callable[[], object]) -> int:
    """Multiplications with addition that a call executes.

    Those of convolutions, matrix products and attention; what a specialized
    model does not choose does not run, so it does not count.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2
