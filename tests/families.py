"""MMAction2's own configs, cut to small inputs and short tests.

The size of the input is cut (frames of 32x32 pixels, or what a backbone needs
at least) and the number of test views; the structure of the model, the
frames of a view and the steps of the pipelines stay.
"""
import copy
from pathlib import Path

import cv2
import mmaction
import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from torch.utils.data import Dataset

from dsts_mmaction.datasets.synthdive.writer import write_video
from dsts_mmaction.utils.configs import (
    dataset_with_pipeline,
    set_everywhere,
    view_shape,
    without_weights,
)

ROOT = Path(mmaction.__file__).parent / '.mim' / 'configs' / 'recognition'
FAMILIES = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
CONFIGS = {family: sorted((ROOT / family).rglob('*.py'))
           for family in FAMILIES}
SIZE, VIEWS = 32, 2
# A transformer's grid follows from its input.
SIZES = dict(VisionTransformer='img_size', TimeSformer='img_size',
             MViT='spatial_size', UniFormerV2='input_resolution')
# Smallest inputs of those that need more.
LARGER = dict(C3D=112)
# What the plain recognizer itself cannot do.
BROKEN = {
    'tsn_imagenet-pretrained-swin-transformer_32xb8-1x1x8-50e_kinetics400-rgb':
    "the config does not say feature_shape='NHWC', which it needs since timm "
    '0.9'}
CROPS = dict(ThreeCrop=3, TenCrop=10)
VIDEOS, VIDEO_FRAMES = 4, 24


def first_that_trains(family):
    for path in sorted((ROOT / family).glob('*.py')):
        if 'optim_wrapper' in Config.fromfile(path):
            return path
    return CONFIGS[family][0]


def cut(cfg):
    """A config with its input cut, height of its frames, frames a view."""
    cfg = without_weights(cfg)
    backbone = cfg.model.backbone
    # Paths that are dropped at random have no gradient.
    for option in ('drop_path_rate', 'backbone_drop_path_rate'):
        if option in backbone:
            backbone[option] = 0.0
    if backbone.type == 'MViT':
        backbone.drop_path_rate = 0.0
    size = LARGER.get(backbone.type, SIZE)
    option = SIZES.get(backbone.type)
    if backbone.type.startswith('timm.swin'):
        backbone.img_size = size = 2 * SIZE
    elif option is not None:
        patch = backbone.get('patch_size', 16)
        size = 2 * patch if isinstance(patch, int) else SIZE
        backbone[option] = size
    if 'num_classes' in cfg.model.cls_head:
        # mvit-large for Something-Something V2 blends labels of Kinetics, so
        # that the plain recognizer does not train.
        set_everywhere(cfg.model.get('data_preprocessor'), 'num_classes',
                       cfg.model.cls_head.num_classes)
    shape = view_shape(cfg)
    return cfg, size, shape[1 if cfg.model.type == 'Recognizer2D' else 3]


def short_loader(cfg, split, size, folder):
    """A config's dataloader on the clips that are listed in a folder."""
    loader = copy.deepcopy(cfg[f'{split}_dataloader'])
    dataset = copy.deepcopy(dataset_with_pipeline(cfg, split))
    frames = dataset.type == 'RawframeDataset'
    dataset.ann_file = str(folder / ('frames.txt' if frames else
                                     'videos.txt'))
    dataset.pop('delimiter', None)
    dataset.pop('data_root', None)
    dataset.data_prefix = {'img' if frames else 'video': str(folder)}
    dataset.pipeline = short_pipeline(
        dataset.pipeline, size, cfg.model.type == 'Recognizer2D')
    loader.pop('dataset')  # or its options would stay beside the new ones
    loader.update(dataset=dataset, batch_size=VIDEOS, num_workers=0,
                  persistent_workers=False)
    return loader


def short_pipeline(pipeline, size, samples_segments):
    """The same steps for small frames and, of a test, 2 clips x 2 crops.

    Args:
        samples_segments: Whether ``num_clips`` is the number of segments of
            a view rather than that of views.
    """
    short = []
    for step in copy.deepcopy(pipeline):
        if step.type == 'PytorchVideoWrapper':
            continue  # of another package, an augmentation
        if step.type == 'Resize':
            step.scale = (-1 if -1 in step.scale else size, size)
        elif step.type == 'RandomRescale':
            step.scale_range = (size, 2 * size)
        for option in ('crop_size', 'input_size', 'size'):
            if option in step:
                step[option] = size
        if step.get('num_clips', 1) > VIEWS and not samples_segments:
            step.num_clips = VIEWS
        short.append(step)
        if step.type in CROPS:
            short.append(dict(type='FirstCrops', of=CROPS[step.type],
                              count=VIEWS))
    return short


@TRANSFORMS.register_module()
class FirstCrops(BaseTransform):
    """Keep the first ``count`` of ``of`` crops."""

    def __init__(self, of, count):
        self.of, self.count = of, count

    def transform(self, results):
        images = results['imgs']
        results['imgs'] = images[:len(images) * self.count // self.of]
        return results


def write_clips(folder):
    """Videos, the same as RGB and flow frames, and lists of both."""
    draw = np.random.default_rng()
    videos, frames = [], []
    for index in range(VIDEOS):
        clip = draw.integers(256, size=(VIDEO_FRAMES, 64, 96, 3),
                             dtype=np.uint8)
        write_video(str(folder / f'{index}.mp4'), clip, fps=30)
        (folder / f'{index}').mkdir()
        for number, image in enumerate(clip, 1):
            for name in (f'{number:05}', f'img_{number:05}',
                         f'x_{number:05}', f'y_{number:05}'):
                cv2.imwrite(str(folder / f'{index}' / f'{name}.jpg'), image)
        videos.append(f'{index}.mp4 {index}\n')
        frames.append(f'{index} {VIDEO_FRAMES} {index}\n')
    (folder / 'videos.txt').write_text(''.join(videos))
    (folder / 'frames.txt').write_text(''.join(frames))
    return folder


def list_clips(folder, data_root):
    """A list of the first test clips of a data set."""
    lines = (data_root / 'test.txt').read_text().splitlines()[:VIDEOS]
    (folder / 'videos.txt').write_text(
        ''.join(f'{data_root.resolve() / line}\n' for line in lines))
    return folder


class RandomImages(Dataset):
    """Images of noise, for the second source of RecognizerOmni."""

    def __init__(self, size):
        self.images = torch.randint(256, (VIDEOS, 3, size, size),
                                    dtype=torch.uint8)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return dict(inputs=self.images[index],
                    data_samples=ActionDataSample().set_gt_label(index))
