"""The configs that fine-tune hosts with DSTS, as Markdown tables.

python tools/list_configs.py --out docs/configs.md
"""
import argparse
import os
import re
from pathlib import Path

from mmengine.config import Config

from dsts_mmaction.tailor.placement import described
from dsts_mmaction.utils.markdown import markdown_table, write_document

ROOT = Path(__file__).parents[1]
# What the names of a host's configs start with.
HOSTS = {
    'TSM-R50': 'tsm/dsts-tsm_k400-pre-r50',
    'TPN-TSM-R50': 'tpn/dsts-tpn-tsm_sthv1-pre-r50',
    'SlowFast-R50': 'slowfast/dsts-slowfast_k400-pre-r50',
    'SlowOnly-R50': 'slowonly/dsts-slowonly_k400-pre-r50',
    'I3D-R50': 'i3d/dsts-i3d_k400-pre-r50',
    'X3D-M': 'x3d/dsts-x3d-m_k400-pre',
    'Swin-T': 'swin/dsts-swin-tiny-p244-w877_k400-pre',
    'Swin-B': 'swin/dsts-swin-base-p244-w877_k400-pre',
    'MViTv2-S': 'mvit/dsts-mvit-small-p244_k400-pre',
    'UniFormerV2-B': 'uniformerv2/dsts-uniformerv2-base_clip-k710-k400-pre',
    'VideoMAE-B': 'videomae/dsts-vit-base-p16_videomae-k400-pre'
}
DATA = {
    'Something-Something V2': 'sthv2',
    'Diving48': 'diving48',
    'Gym99': 'gym99',
    'Gym288': 'gym288'
}
RECIPE = ['Host', 'GPUs × clips', 'Frames', 'Epochs', 'Learning rate',
          "Host's constructor", 'The module specializes', "UDL's features",
          'Starts from']
TEXT = '''# Fine-tuning configs

<!-- Made by tools/list_configs.py. -->

Eleven hosts of MMAction2 with DSTS on four fine-grained data sets, each
jointly trained and with
[Upstream-Downstream Learning](upstream_downstream.md). None of them has been
trained to the end by us: there is no accuracy to report. They build, and every
host, joint and UDL, goes from a plain recognizer's random checkpoint through
an iteration, a validation and a test of a few generated videos, with frames of
32x32 pixels: `python -m pytest -m slow tests/test_fine_tuning_configs.py`.
They have no plain twins: [`tools/benchmark.py`](benchmarking.md) takes configs
of plain recognizers, such as MMAction2's.

{configs}

## How to train one

The [data](data_preparation.md) first; the second command downloads the
weights that it starts from.

```shell
python tools/data/diving48/prepare.py \\
  --annotations data/annotations/diving48 --out data/diving48
torchrun --nproc_per_node=8 tools/train.py \\
  {example} --launcher pytorch
```

With fewer GPUs, or other batches, `--auto-scale-lr` scales the learning rates
to the clips per iteration; `--amp` saves memory (Swin's configs have mixed
precision anyway). On one GPU with room for four clips:

```shell
python tools/train.py \\
  {example} \\
  --amp --auto-scale-lr --cfg-options train_dataloader.batch_size=4
```

UDL holds half of each GPU's batch out, so leave it four clips or more. The
training log says what of the checkpoint does not fit: the classifier, which
has other classes. DSTS starts as the identity.

## Recipes

{recipes}

- Learning rates are those of classifier and DSTS for the stated GPUs × clips
  (for TSM, of the backbone: its constructor gives the classifier five times
  that, the config gives it to DSTS, too). Backbones learn at a tenth, those
  with `LearningRateDecayOptimizerConstructor` at 0.75 of the rate per layer
  from the top. Three epochs of warm-up, then cosine. What is MMAction2's own
  and what is ours is said in the first lines of each file of
  [`_base_/hosts`](../configs/_base_/hosts).
- Frames are spread over the whole clip: these clips last one to six seconds,
  and a window made for the ten seconds of Kinetics would loop in the short
  ones and cut the long ones.
- A horizontal flip is used where no class names left or right, so not on
  Something-Something V2, nor by MViTv2-S. There is no mixup and no cutmix,
  which blend what look-alike classes differ in, and no RandAugment, which
  MMAction2's recipes for MViT and UniFormerV2 have and which needs
  pytorchvideo.
- TPN-TSM starts from Something-Something V1, the only weights that MMAction2
  has of it. It is tested on one view: its fully convolutional test keeps the
  classifier of the first validation.
- Results are top-1, top-5 and mean class accuracy (`FineGrainedMetric`). The
  best checkpoint is kept by mean class accuracy (by top-1 on
  Something-Something V2), and Diving48 has no validation split: its best
  checkpoint is chosen on the test list. Report the last one, or hold out a
  part of the training list.
'''


def config_of(host: str, data: str) -> Path:
    """The joint config of a host on a data set."""
    path, = (ROOT / 'configs').glob(f'{HOSTS[host]}_*_{DATA[data]}-rgb.py')
    return path


def links(path: Path) -> str:
    """Links to a joint config and its UDL variant."""
    where = Path('..') / path.parent.relative_to(ROOT)
    udl = path.name.replace('dsts-', 'dsts-udl-', 1)
    return (f'[joint]({(where / path.name).as_posix()}), '
            f'[UDL]({(where / udl).as_posix()})')


def recipe(host: str) -> list[str]:
    """A host's row; it has the same recipe on all data sets."""
    cfg = Config.fromfile(config_of(host, 'Diving48'))
    clips = cfg.train_dataloader.batch_size
    sampling = next(step for step in cfg.train_pipeline
                    if 'Sample' in step.type)
    optim = cfg.optim_wrapper
    where, udl = described(cfg.model.cls_head)
    checkpoint = re.sub(r'_\d{8}-\w+\.pth$', '',
                        os.path.basename(cfg.load_from))
    return [
        host,
        f'{cfg.auto_scale_lr.base_batch_size // clips} × {clips}',
        str(sampling.get('num_clips', 1) * sampling.clip_len),
        str(cfg.train_cfg.max_epochs),
        f'{optim.optimizer.type} {optim.optimizer.lr:g}',
        optim.paramwise_cfg.get('constructor',
                                'DefaultOptimWrapperConstructor'),
        where,
        udl,
        f'[{checkpoint}]({cfg.load_from})'
    ]


def document() -> str:
    """The whole file."""
    configs = [['Host', *DATA]]
    configs += [[host, *(links(config_of(host, data)) for data in DATA)]
                for host in HOSTS]
    recipes = [RECIPE, *map(recipe, HOSTS)]
    example = config_of('TSM-R50', 'Diving48').relative_to(ROOT).as_posix()
    return TEXT.format(
        configs=markdown_table(configs).rstrip('\n'),
        recipes=markdown_table(recipes).rstrip('\n'),
        example=example)


def main() -> None:
    parser = argparse.ArgumentParser(
        description='List the configs that fine-tune hosts with DSTS.')
    parser.add_argument('--out', type=Path, help='Markdown file to write')
    args = parser.parse_args()
    write_document(document(), args.out)


if __name__ == '__main__':
    main()
