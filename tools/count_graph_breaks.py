"""Graphs that torch.compile makes of a recognizer with and without DSTS.

    python tools/count_graph_breaks.py CONFIG

Of one call, on random clips as the config's training pipeline gives them:
training losses, class scores, and class scores of the deployed form. A break
is a place where the graph ends and Python goes on.
"""
import argparse
import copy
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch._dynamo.utils import counters

from dsts_mmaction.adapters.specialized import trainable_dsts_modules
from dsts_mmaction.deploy.fusing import fuse_dsts
from dsts_mmaction.utils.configs import (
    input_shape,
    load_config,
    unfit_input,
    without_weights,
)


class Graphs(NamedTuple):
    """How many graphs there are, and breaks between them."""
    graphs: int
    breaks: int


def count_graphs(call: Callable[[], object]) -> Graphs:
    """Compile a call, make it, and count."""
    torch._dynamo.reset()
    counters.clear()
    torch.compile(call, backend='eager')()
    return Graphs(counters['stats']['unique_graphs'],
                  sum(counters['graph_break'].values()))


def training_losses(model: nn.Module, clips: Tensor) -> Callable[[], object]:
    samples = [ActionDataSample().set_gt_label(0) for _ in clips]
    model = copy.deepcopy(model).train()
    return lambda: model(clips, samples, mode='loss')


def class_scores(model: nn.Module, clips: Tensor) -> Callable[[], object]:
    model = copy.deepcopy(model).eval()

    def call() -> Tensor:
        with torch.no_grad():
            return model(clips, mode='tensor', stage='head')

    return call


def plain_model(model: ConfigDict) -> ConfigDict:
    """Config of the recognizer that a specialized one was made of."""
    plain = copy.deepcopy(model)
    if plain.cls_head.type == 'DSTSHead':
        plain.cls_head = plain.cls_head.head
    if plain.get('neck') and plain.neck.type == 'DSTSNeck':
        plain.neck = None
    return plain


def graph_table(cfg: Config, shape: Sequence[int]) -> Table:
    """One row for each use, with and without DSTS.

    Raises:
        ValueError: The recognizer has no DSTS module, or is deployed, or
            does not take such an input.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    cfg = without_weights(cfg)
    special = MODELS.build(cfg.model)
    trainable_dsts_modules(special)
    plain = MODELS.build(plain_model(cfg.model))
    clips = torch.randn(*shape)
    try:
        class_scores(plain, clips)()
    except RuntimeError as error:
        raise ValueError(unfit_input(shape, error)) from error
    table = Table(title=f"Input {'x'.join(map(str, clips.shape))}")
    for column in ('', 'graphs', 'breaks'):
        table.add_column(column, justify='right' if column else 'left')
    for title, call in (
            ('training losses, without DSTS', training_losses(plain, clips)),
            ('training losses, DSTS', training_losses(special, clips)),
            ('class scores, without DSTS', class_scores(plain, clips)),
            ('class scores, DSTS', class_scores(special, clips)),
            ('class scores, DSTS deployed',
             class_scores(fuse_dsts(special), clips))):
        table.add_row(title, *map(str, count_graphs(call)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Count the graphs that torch.compile makes of a '
        'recognizer with and without DSTS.')
    parser.add_argument('config', metavar='CONFIG')
    parser.add_argument('--shape', type=int, nargs='+',
                        help="of the input, such as 2 8 3 224 224 (default: "
                        "two views of the config's training pipeline)")
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    try:
        cfg = load_config(args.config)
        MMLogger.get_instance('mmaction', log_level='WARNING')
        table = graph_table(cfg, input_shape(cfg, args.shape, batch=2))
    except ValueError as error:
        sys.exit(f'error: {error}')
    Console().print(table)


if __name__ == '__main__':
    main()
