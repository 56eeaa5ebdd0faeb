"""The benchmark measures and writes what it promises."""
import json
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / 'tools' / 'bench_speed.py'


def run(*args):
    return subprocess.run([sys.executable, str(TOOL), *args],
                          capture_output=True, text=True)


def test_rows_are_written_with_their_bars(tmp_path):
    out = tmp_path / 'speed.json'
    done = run('--only', 'train_n64_vs_n4_m64', 'mix_plain_vs_ours_n64',
               '--rounds', '2', '--json', str(out))
    assert done.returncode == 0, done.stderr
    growth, mixing = json.loads(out.read_text())
    assert set(growth) == {'name', 'value', 'spread', 'bar', 'met'}
    assert growth['name'] == 'train_n64_vs_n4_m64'
    assert growth['bar'] == '<= 1.5'
    assert growth['met'] == (growth['value'] <= 1.5)
    low, high = growth['spread']
    assert 0 < low <= growth['value'] <= high
    assert mixing['bar'] is None and mixing['met'] is None
    assert 'train_n64_vs_n4_m64' in done.stdout
    assert list(tmp_path.iterdir()) == [out]


def test_unknown_row_is_refused_with_the_known_ones():
    done = run('--only', 'nothing')
    assert done.returncode == 2
    assert 'nothing' in done.stderr and 'train_n64_vs_n4' in done.stderr
