import io

from rich.console import Console

from dsts_mmaction.utils.reporter import Reporter


def test_plain_progress():
    console = Console(file=io.StringIO(), force_terminal=False, width=80)
    with Reporter(console, 'TSM: training', 90, seconds=0) as reporter:
        reporter.update(45, 'epoch 1/2, iteration 45/90, loss 2.050')
    assert console.file.getvalue().splitlines() == [
        'TSM: training …', '  epoch 1/2, iteration 45/90, loss 2.050'
    ]
