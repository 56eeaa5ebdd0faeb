"""A small TSM whose clips lie in memory, to try ideas in minutes.

Three residual blocks on 8 gray frames of 36x36: an epoch of 1,500 clips takes
half a minute on one CPU core, five seconds on one that computes in bfloat16.
For tools/screen_variants.py and tools/study_synthdive.py; what they find has
to be confirmed on a recognizer of MMAction2.
"""
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..dsts.hyper_gradient import hyper_gradient
from ..models import DSTSModule
from .error import refuse_twice
from .variants import VARIANTS, Variant, dsts_options, parse_variant

FRAMES, LOADED_SIZE, SIZE = 8, 40, 36
WIDTH, CHANNELS, BATCH = 32, 128, 16
LR, UPSTREAM_LR, INNER_LR, WEIGHT_DECAY = 2e-3, 1e-3, 0.3, 0.02
WARMUP = 0.08  # of all iterations


class Block(nn.Module):
    """A residual block, with a temporal shift for a TSM."""

    def __init__(self, in_channels: int, channels: int, stride: int,
                 shifts: bool) -> None:
        super().__init__()
        self.shifts = shifts
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, stride, bias=False),
            nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Frames (B * T, C, H, W) to the same layout."""
        out = F.relu(self.norm1(self.conv1(shift(x) if self.shifts else x)))
        return F.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


def shift(x: Tensor) -> Tensor:
    """An eighth of the channels to the frame before, one to that after."""
    clips = x.unflatten(0, (-1, FRAMES))
    part = x.shape[1] // 8
    out = clips.clone()
    out[:, :-1, :part], out[:, -1, :part] = clips[:, 1:, :part], 0
    after = slice(part, 2 * part)
    out[:, 1:, after], out[:, 0, after] = clips[:, :-1, after], 0
    return out.flatten(0, 1)


class SmallTSM(nn.Module):
    """The network.

    Args:
        num_classes: Number of classes.
        dsts: Options of DSTSModule; None for the plain network.
        shifts: Whether it shifts channels in time; without, it is a TSN.
    """

    def __init__(self, num_classes: int,
                 dsts: dict[str, Any] | None = None,
                 shifts: bool = True) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, WIDTH, 5, 2, 2, bias=False), nn.BatchNorm2d(WIDTH),
            nn.ReLU(), Block(WIDTH, WIDTH, 2, shifts),
            Block(WIDTH, 2 * WIDTH, 1, shifts),
            Block(2 * WIDTH, CHANNELS, 2, shifts))
        self.dsts = None
        if dsts is not None:
            self.dsts = DSTSModule(CHANNELS, **dsts)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(CHANNELS, num_classes)

    def extract(self, clips: Tensor) -> Tensor:
        """(B, T, H, W) to features (B, C, T, H', W')."""
        features = self.backbone(clips.flatten(0, 1).unsqueeze(1))
        return features.unflatten(0, (-1, FRAMES)).transpose(1, 2)

    def forward(self, features: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features to class scores and auxiliary losses."""
        losses: list[Tensor] = []
        if self.dsts is not None:
            features, named, _ = self.dsts(features)
            losses = list(named.values())
        pooled = self.dropout(features.float().mean((2, 3, 4)))
        return self.classifier(pooled), losses

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Training loss, a scalar."""
        scores, losses = self(features)
        return F.cross_entropy(scores, labels) + sum(losses)


def build(num_classes: int, variant: Variant,
          shifts: bool = True) -> SmallTSM:
    """The network of a variant, half as wide inside the module as outside.

    Raises:
        ValueError: The variant has options of UpstreamDownstreamHook, which
            does not train this network.
    """
    if variant.udl_options:
        raise ValueError(
            f'variant {variant.name} has udl.OPTION, got '
            f'{variant.udl_options}: the small TSM knows udl=1 and udl=2 '
            'only.')
    if variant.dsts is None:
        return SmallTSM(num_classes, shifts=shifts)
    return SmallTSM(num_classes, dsts_options(
        variant, dict(mid_channels=CHANNELS // 2), [CHANNELS]), shifts)


def read_variants(texts: Iterable[str]) -> list[Variant]:
    """Variants by their names, or written as for :func:`parse_variant`.

    Raises:
        ValueError: There is none like that, it is there twice, or it does
            not train this network.
    """
    variants = [VARIANTS.get(text) or parse_variant(text) for text in texts]
    refuse_twice('--variants', [variant.name for variant in variants])
    for variant in variants:
        build(1, variant)
    return variants


class Clips:
    """Clips in memory.

    Args:
        videos: uint8, shape (frames, H, W, 3), any height and width.
        labels: One for each video.
    """

    def __init__(self, videos: Iterable[np.ndarray],
                 labels: Sequence[int]) -> None:
        self.videos = [_small(video) for video in videos]
        self.labels = torch.tensor(labels)

    def batch(self, indices: list[int],
              generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Frames and crops at random with a generator, else in the middle."""
        margin = LOADED_SIZE - SIZE
        clips = torch.empty(len(indices), FRAMES, SIZE, SIZE)
        for i, index in enumerate(indices):
            video = self.videos[index]
            place, (y, x) = torch.full((FRAMES, ), 0.5), 2 * [margin // 2]
            if generator is not None:
                place = torch.rand(FRAMES, generator=generator)
                y, x = torch.randint(
                    margin + 1, (2, ), generator=generator).tolist()
            frames = (torch.arange(FRAMES) + place) * len(video) / FRAMES
            frames = frames.long().clamp(max=len(video) - 1)
            clips[i] = video[frames][:, y:y + SIZE, x:x + SIZE]
        return (clips - 110) / 70, self.labels[indices]


def train(network: SmallTSM, clips: Clips, indices: list[int], epochs: int,
          lr: float, seed: int, udl: int | None = None,
          amp: bool = False) -> float:
    """Train with AdamW, warm-up and cosine.

    Args:
        network: Trained in place.
        clips: Where the training clips are.
        indices: Which they are.
        epochs: How often they are seen; an incomplete batch is left out.
        lr: Highest learning rate.
        seed: Of the order, crops, frames, dropout and noise.
        udl: Order of Upstream-Downstream Learning; None for joint training.
        amp: Whether under bfloat16 autocast.

    Returns:
        Mean training loss of the last epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    upstream, downstream, others = {}, {}, {}
    deciding = ([] if udl is None else
                [id(p) for p in network.dsts.upstream_parameters()])
    for name, parameter in network.named_parameters():
        kind = (upstream if id(parameter) in deciding else
                downstream if name.startswith('dsts.') else others)
        kind[name] = parameter
    fitted = [*downstream.values(), *others.values()]
    # As DSTSOptimWrapperConstructor has it.
    own = ([] if network.dsts is None else
           list(network.dsts.private_parameters()))
    own_ids = {id(p) for p in own}
    groups = [
        dict(params=[p for p in fitted
                     if p.dim() > 1 and id(p) not in own_ids]),
        dict(params=[p for p in fitted if p.dim() == 1], weight_decay=0)]
    if own:
        groups.append(dict(params=own, lr=lr / len(own[0])))
    optimizers = [torch.optim.AdamW(groups, lr=lr, weight_decay=WEIGHT_DECAY)]
    if udl is not None:
        optimizers.append(torch.optim.AdamW(
            upstream.values(), lr=UPSTREAM_LR, weight_decay=0))
    total = epochs * (len(indices) // BATCH)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, lambda i: min(
        1, (i + 1) / (WARMUP * total)) * (1 + math.cos(math.pi * i / total))
        / 2) for o in optimizers]

    def tail_loss(parameters: dict[str, Tensor],
                  samples: tuple[Tensor, Tensor]) -> Tensor:
        fixed = {n: p.detach() for n, p in others.items()}
        buffers = {n: b.clone() for n, b in network.named_buffers()}
        scores, losses = functional_call(
            network, (fixed, parameters, buffers), (samples[0], ))
        return F.cross_entropy(scores, samples[1]) + sum(losses)

    network.train()
    for _ in range(epochs):
        losses = []
        order = torch.randperm(len(indices), generator=generator).tolist()
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = [indices[i] for i in order[start:start + BATCH]]
            images, labels = clips.batch(chosen, generator)
            with torch.autocast('cpu', torch.bfloat16, enabled=amp):
                features = network.extract(images)
                if udl is not None:
                    halves = [
                        (features.detach()[part], labels[part]) for part in
                        (slice(BATCH // 2), slice(BATCH // 2, None))]
                    result = hyper_gradient(tail_loss, upstream, downstream,
                                            *halves, INNER_LR, udl)
                    for p, gradient in zip(upstream.values(),
                                           result.gradients):
                        p.grad = gradient
                    optimizers[1].step()
                    torch.clear_autocast_cache()
                loss = network.loss(features, labels)
            network.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(fitted, 20)
            optimizers[0].step()
            for scheduler in schedulers:
                scheduler.step()
            losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def evaluate(network: SmallTSM, clips: Clips,
             indices: list[int]) -> dict[str, Any]:
    """Top-1 in percent, and which clips are right."""
    network.eval()
    right = []
    for start in range(0, len(indices), 100):
        images, labels = clips.batch(indices[start:start + 100], None)
        scores, _ = network(network.extract(images))
        right += (scores.argmax(1) == labels).int().tolist()
    return dict(top1=100 * sum(right) / len(right),
                correct=''.join(map(str, right)))


def _small(video: np.ndarray) -> Tensor:
    """Gray frames, uint8, shape (frames, 40, 40)."""
    frames = torch.from_numpy(video).float().mean(3).unsqueeze(1)
    return F.interpolate(frames, (LOADED_SIZE, LOADED_SIZE),
                         mode='area').squeeze(1).byte()
