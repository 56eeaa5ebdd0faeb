"""Random streams of their own for what must leave no trace."""
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def random_streams(seed: int | None = None) -> Iterator[None]:
    """Put the random streams back after a block.

    The streams are those of torch (CPU and the current GPU), numpy and
    python.

    Args:
        seed: Seeds them for the block; by default the block draws what would
            have been drawn next, which is then drawn again after it.
    """
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    if on_gpu:
        gpu_state = torch.cuda.get_rng_state()
    try:
        if seed is not None:
            torch.default_generator.manual_seed(seed)
            if on_gpu:
                torch.cuda.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        if on_gpu:
            torch.cuda.set_rng_state(gpu_state)


def derive_seed(*parts: int) -> int:
    """A seed that depends on all of the given non-negative integers."""
    state = np.random.SeedSequence(parts).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes 63 bits everywhere
