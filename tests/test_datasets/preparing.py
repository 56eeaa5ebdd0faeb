"""Small made-up annotation files, and the tools that read them."""
import json
import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parents[2] / 'tools' / 'data'


def run_tool(monkeypatch, name, *args):
    tool = str(TOOLS / name / 'prepare.py')
    monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
    runpy.run_path(tool, run_name='__main__')


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def dive(name, label):
    return dict(vid_name=name, label=label, start_frame=0, end_frame=9)


VOCABULARY = [['Back', '75som', '05Twis', 'FREE'],
              ['Sideways', 'Dive', 'NoTwis', 'PIKE'],
              ['Forward', '1som', '1Twis', 'STR']]
TRAIN = [dive('-a_00001', 2), dive('b_00001', 0), dive('b_00002', 2)]
TEST = [dive('c_00001', 1), dive('c_00002', 0)]


def write_diving48(folder, train=TRAIN, test=TEST, vocabulary=VOCABULARY):
    write_json(folder / 'Diving48_V2_train.json', train)
    write_json(folder / 'Diving48_V2_test.json', test)
    write_json(folder / 'Diving48_vocab.json', vocabulary)
    return folder
