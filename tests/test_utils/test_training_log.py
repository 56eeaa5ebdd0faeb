import pytest

from dsts_mmaction.utils import training_log

# Lines as MMEngine writes them.
TRAIN_LINE = (
    '{{"base_lr": 0.01, "lr": 0.01, "data_time": 0.02, "grad_norm": 5.58, '
    '"loss": {loss}, "top1_acc": 0.125, "top5_acc": 0.5, "loss_cls": {loss}, '
    '"time": {time}, "epoch": {epoch}, "iter": {iter}, "step": {iter}}}\n')
VAL_LINE = ('{"acc/top1": 0.09, "acc/top5": 0.43, "acc/mean1": 0.09, '
            '"data_time": 0.03, "time": 0.21, "step": 1}\n')


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def train_lines(begin, end, seconds):
    return ''.join(
        TRAIN_LINE.format(
            loss=2.5 - i / 100, time=seconds, epoch=1 + i // 45, iter=i)
        for i in range(begin, end + 1, 5))


@pytest.fixture
def run_dir(tmp_path):
    """A training that was stopped in epoch 2 and started again."""
    run = tmp_path / 'run'
    scalars = 'vis_data/scalars.json'
    write(run / '20260101_100000' / scalars,
          train_lines(5, 5, 9.) + train_lines(10, 45, .5) + VAL_LINE +
          train_lines(50, 60, .5) + '{"base_lr": 0.0')
    write(run / '20260101_110000' / scalars,
          train_lines(50, 55, 7.) + train_lines(60, 90, .7))
    write(run / 'epoch_2.pth', '')
    write(run / 'last_checkpoint', '/elsewhere/run/epoch_2.pth')
    return run


def test_training_log(run_dir):
    starts = training_log.read_scalars(str(run_dir))
    assert [len(records) for records in starts] == [13, 9]
    record = training_log.last_training_record(starts)
    assert (record['iter'], record['epoch']) == (90, 3)
    # 45 % of the records say .5, the rest .7; the slow first ones are out.
    assert training_log.median_iter_time(starts) == pytest.approx(.5)
    assert training_log.median_iter_time(starts[1:]) == pytest.approx(.7)


def test_no_training_log_yet(tmp_path):
    assert training_log.read_scalars(str(tmp_path / 'absent')) == []
    (tmp_path / '20260101_100000' / 'vis_data').mkdir(parents=True)
    assert training_log.read_scalars(str(tmp_path)) == []
    assert training_log.last_training_record([]) is None
    assert training_log.last_training_record([[]]) is None
    assert training_log.median_iter_time([[]]) is None


def test_finished_training_is_recognized(run_dir):
    assert training_log.last_checkpoint(
        str(run_dir)) == str(run_dir / 'epoch_2.pth')
    assert training_log.is_trained(str(run_dir), 2)
    assert not training_log.is_trained(str(run_dir), 12)
    (run_dir / 'epoch_2.pth').unlink()
    assert not training_log.is_trained(str(run_dir), 2)
    assert not training_log.is_trained(str(run_dir / 'absent'), 2)
