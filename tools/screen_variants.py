"""Screen DSTS options on a small TSM, in minutes and on folds of subjects.

A TSM of three residual blocks on 8 gray frames of 36x36, clips kept in
memory: an epoch of 1,500 clips takes about five seconds on one CPU core. It
sorts out ideas; what it finds has to be confirmed on a recognizer of
MMAction2 by tools/benchmark.py.

For each fold, the plain network is trained from scratch on all subjects but
those of the fold. Every variant goes on from its weights, for the same
epochs with the same clips, crops and frames, and is tested on the fold.
Results are kept in OUT/results.jsonl and not computed again; the table shows
means over folds and paired differences to the first variant.
"""
import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import decord
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsts_mmaction.benchmark.data_lists import (  # noqa: E402
    read_list, split_fold)
from dsts_mmaction.benchmark.statistics import (  # noqa: E402
    paired_difference, spread)
from dsts_mmaction.benchmark.variants import (  # noqa: E402
    VARIANTS, Variant, parse_variant)
from dsts_mmaction.models import DSTSModule  # noqa: E402
from dsts_mmaction.models.dsts.hyper_gradient import (  # noqa: E402
    hyper_gradient)
from dsts_mmaction.utils.atomic import write_atomically  # noqa: E402

FRAMES, LOADED_SIZE, SIZE = 8, 40, 36
WIDTH, BATCH = 32, 16
LR, UPSTREAM_LR, INNER_LR, WEIGHT_DECAY = 2e-3, 1e-3, 0.3, 0.02
WARMUP = 0.08  # of all iterations


class Block(nn.Module):
    """A residual block with a temporal shift."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, channels, 1, stride, bias=False),
            nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.norm1(self.conv1(shift(x))))
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
    """The network; ``dsts`` are options of DSTSModule, None for plain."""

    def __init__(self, num_classes: int,
                 dsts: Optional[Dict[str, Any]] = None) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, WIDTH, 5, 2, 2, bias=False), nn.BatchNorm2d(WIDTH),
            nn.ReLU(), Block(WIDTH, WIDTH, 2), Block(WIDTH, 2 * WIDTH, 1),
            Block(2 * WIDTH, 4 * WIDTH, 2))
        self.dsts = None
        if dsts is not None:
            dsts = {'mid_channels': 2 * WIDTH, **dsts}
            self.dsts = DSTSModule(4 * WIDTH, **dsts)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(4 * WIDTH, num_classes)

    def extract(self, clips: Tensor) -> Tensor:
        """(B, T, H, W) to features (B, C, T, H', W')."""
        features = self.backbone(clips.flatten(0, 1).unsqueeze(1))
        return features.unflatten(0, (-1, FRAMES)).transpose(1, 2)

    def forward(self, features: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """Features to class scores and auxiliary losses."""
        losses: List[Tensor] = []
        if self.dsts is not None:
            features, named, _ = self.dsts(features)
            losses = list(named.values())
        pooled = self.dropout(features.float().mean((2, 3, 4)))
        return self.classifier(pooled), losses

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        scores, losses = self(features)
        return F.cross_entropy(scores, labels) + sum(losses)


class Clips:
    """Clips in memory, (number, frames, 40, 40) in 0..255."""

    def __init__(self, data_root: Path, lines: List[str]) -> None:
        self.index = {line: i for i, line in enumerate(lines)}
        self.labels = torch.tensor([int(line.split()[1]) for line in lines])
        self.videos = []
        for line in track(lines, description='Reading clips'):
            reader = decord.VideoReader(str(data_root / line.split()[0]))
            frames = torch.from_numpy(
                reader.get_batch(range(len(reader))).asnumpy())
            frames = frames.float().mean(3).unsqueeze(1)
            self.videos.append(F.interpolate(
                frames, (LOADED_SIZE, LOADED_SIZE),
                mode='area').squeeze(1).byte())

    def batch(self, indices: List[int],
              generator: Optional[torch.Generator]) -> Tuple[Tensor, Tensor]:
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


def train(network: SmallTSM, clips: Clips, indices: List[int], epochs: int,
          lr: float, seed: int, udl: Optional[int] = None) -> float:
    """Train with AdamW, warm-up and cosine; returns the last epoch's loss."""
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
    optimizers = [torch.optim.AdamW(
        [dict(params=[p for p in fitted if p.dim() > 1]),
         dict(params=[p for p in fitted if p.dim() == 1], weight_decay=0)],
        lr=lr, weight_decay=WEIGHT_DECAY)]
    if udl is not None:
        optimizers.append(torch.optim.AdamW(
            upstream.values(), lr=UPSTREAM_LR, weight_decay=0))
    total = epochs * (len(indices) // BATCH)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, lambda i: min(
        1, (i + 1) / (WARMUP * total)) * (1 + math.cos(math.pi * i / total))
        / 2) for o in optimizers]

    def tail_loss(parameters: Dict[str, Tensor],
                  samples: Tuple[Tensor, Tensor]) -> Tensor:
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
            with torch.autocast('cpu', torch.bfloat16):
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
             indices: List[int]) -> Dict[str, Any]:
    """Top-1 in percent, and which clips are right."""
    network.eval()
    right = []
    for start in range(0, len(indices), 100):
        images, labels = clips.batch(indices[start:start + 100], None)
        scores, _ = network(network.extract(images))
        right += (scores.argmax(1) == labels).int().tolist()
    return dict(top1=100 * sum(right) / len(right),
                correct=''.join(map(str, right)))


def run(args: argparse.Namespace, variants: List[Variant],
        runs: Dict[str, List[Dict[str, Any]]]) -> None:
    """Compute what ``runs`` lacks, and append it to the results."""
    lines = [line for name in args.lists
             for line in read_list(str(args.data_root / name))]
    clips = Clips(args.data_root, lines)
    num_classes = int(clips.labels.max()) + 1
    for fold in args.folds:
        parts = split_fold(lines, args.fold_by, fold, args.num_folds)
        fitted, tested = ([clips.index[line] for line in part]
                          for part in parts)
        if len(fitted) < BATCH:
            raise ValueError(f'fold {fold} leaves {len(fitted)} clips to '
                             f'train on, and a batch has {BATCH}.')
        plain = SmallTSM(num_classes)
        weights = args.out / f'plain_fold{fold}.pth'
        if weights.exists():
            plain.load_state_dict(torch.load(weights, weights_only=True))
        else:
            torch.manual_seed(fold)
            plain = SmallTSM(num_classes)
            train(plain, clips, fitted, args.epochs, LR, fold)
            with write_atomically(weights, 'wb') as file:
                torch.save(plain.state_dict(), file)
        for variant in variants:
            if any(r['seed'] == fold for r in runs[variant.name]):
                continue
            torch.manual_seed(fold)
            network = SmallTSM(num_classes, variant.dsts)
            network.load_state_dict(plain.state_dict(), strict=False)
            loss = train(network, clips, fitted, args.extra_epochs, LR / 2,
                         fold, variant.udl)
            row = dict(variant=variant.name, options=variant.title, seed=fold,
                       loss=loss, **evaluate(network, clips, tested))
            runs[variant.name].append(row)
            with open(args.out / 'results.jsonl', 'a') as file:
                file.write(json.dumps(row) + '\n')
            print(f'{variant.name}, fold {fold}: {row["top1"]:.1f}',
                  flush=True)


def show(variants: List[Variant],
         runs: Dict[str, List[Dict[str, Any]]]) -> None:
    first = variants[0].name
    table = Table('Variant', 'Options', 'Folds', 'Top-1', f'vs {first}',
                  '95 % interval', 'Training loss')
    for variant in variants:
        own = runs[variant.name]
        difference = paired_difference(own, runs[first], 'top1')
        if not own or difference is None:
            continue
        low, high = difference.interval or (math.nan, math.nan)
        table.add_row(
            variant.name, variant.title, str(len(own)),
            f'{spread(own, "top1").mean:.1f}', f'{difference.mean:+.1f}',
            f'{low:+.1f} to {high:+.1f}', f'{spread(own, "loss").mean:.3f}')
    Console(width=120).print(table)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Screen DSTS options on a small TSM, on folds of '
        'subjects of a list of short clips.')
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--lists', nargs='+',
                        default=['train.txt', 'val.txt'],
                        help='default: %(default)s')
    parser.add_argument('--fold-by', default=r'_s(\d+)_', metavar='REGEX',
                        help="finds a clip's subject (default: %(default)s)")
    parser.add_argument('--num-folds', type=int, default=5)
    parser.add_argument('--folds', type=int, nargs='+',
                        help='from 1 on (default: all)')
    parser.add_argument('--epochs', type=int, default=24)
    parser.add_argument('--extra-epochs', type=int, default=12)
    parser.add_argument('--out', type=Path,
                        default=Path('work_dirs/screening'))
    parser.add_argument(
        '--variants', nargs='+', required=True, metavar='VARIANT',
        help='names of tools/benchmark.py, or NAME:KEY=VALUE,… as there')
    args = parser.parse_args()
    args.folds = args.folds or list(range(1, args.num_folds + 1))
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    try:
        variants = [VARIANTS.get(name) or parse_variant(name)
                    for name in args.variants]
        args.out.mkdir(parents=True, exist_ok=True)
        runs: Dict[str, List[Dict[str, Any]]] = defaultdict(list)
        path = args.out / 'results.jsonl'
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                runs[row['variant']].append(row)
        run(args, variants, runs)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    show(variants, runs)


if __name__ == '__main__':
    main()
