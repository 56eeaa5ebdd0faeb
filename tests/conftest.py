"""Fixtures of more than one test file."""
import pytest
import torch

import dsts_mmaction  # noqa: F401  before any import of mmaction.models


@pytest.fixture
def one_thread():
    """Small models are no faster with more threads, and get in the way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
