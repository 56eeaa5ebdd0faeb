"""The configs of this repository, by kind, each read once."""
import copy
import functools
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.rglob('*.py')
    if '_base_' not in path.parts)
UDL = [name for name in CONFIGS if '/dsts-udl-' in name]
SPECIALIZED = [name for name in CONFIGS
               if '/dsts-' in name and name not in UDL]


def _bases_of_fine_tuning(name):
    """Host and data set that a config names as its bases."""
    return tuple(
        match.group(1) if match else None for match in (
            re.search(rf"'\.\./_base_/{kind}/(\w+)\.py'",
                      (ROOT / name).read_text())
            for kind in ('hosts', 'datasets')))


#: By host and data set.
FINE_TUNING = {
    _bases_of_fine_tuning(name): name for name in SPECIALIZED
    if _bases_of_fine_tuning(name)[0]}


@functools.cache
def _read(name):
    return Config.fromfile(ROOT / name)


def load(name):
    """A config, without the address of a backbone's weights to download."""
    cfg = copy.deepcopy(_read(name))
    init_default_scope(cfg.default_scope)
    backbone = cfg.model.backbone
    if backbone.get('pretrained'):
        backbone.pretrained = None
    return cfg


def groups_of(optim_wrapper):
    """Identities of the parameters of each group."""
    return [[id(p) for p in group['params']]
            for group in optim_wrapper.optimizer.param_groups]


def assert_grouped_once(model, optim_wrapper):
    """Every parameter that trains is in one group, and no other is."""
    assert sorted(sum(groups_of(optim_wrapper), [])) == sorted(
        id(p) for p in model.parameters() if p.requires_grad)
