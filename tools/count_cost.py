"""Parameters and FLOPs of a specialized recognizer, stored and executed.

    python tools/count_cost.py CONFIG

For one view, as the config's training pipeline gives it. Executed: what one
sample runs, its neuron of each layer and the operators that the gates chose.
Stored: all parameters, and operations as if all neurons ran, with both
operators.
"""
import argparse
import sys

import torch
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table

from dsts_mmaction.evaluation.cost import specialized_cost
from dsts_mmaction.utils.configs import input_shape, load_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Count parameters and multiplications with addition of a '
        'specialized recognizer, as stored and as executed.')
    parser.add_argument('config', metavar='CONFIG')
    parser.add_argument('--shape', type=int, nargs='+',
                        help="of the input, such as 1 8 3 224 224 (default: "
                        "one view of the config's training pipeline)")
    args = parser.parse_args()
    torch.manual_seed(0)  # gates choose, and so what is executed
    try:
        cfg = load_config(args.config)
        MMLogger.get_instance('mmaction', log_level='WARNING')
        shape = input_shape(cfg, args.shape)
        cost = specialized_cost(cfg, shape)
    except ValueError as error:
        sys.exit(f'error: {error}')
    table = Table(title=f"Input {'x'.join(map(str, shape))}")
    for column in ('', 'parameters (M)', 'FLOPs (G)'):
        table.add_column(column, justify='right' if column else 'left')
    for name, parameters, flops in (
            ('without DSTS', cost.plain_parameters, cost.plain_flops),
            ('DSTS, executed', cost.executed_parameters, cost.executed_flops),
            ('DSTS, stored', cost.stored_parameters, cost.stored_flops)):
        table.add_row(name, f'{parameters / 1e6:.2f}', f'{flops / 1e9:.3f}')
    Console().print(table)


if __name__ == '__main__':
    main()
