"""One rank of a distributed run; see test_upstream_downstream_ranks.py.

Saves what the rank saw under the folder given as argument.
"""
import sys
from pathlib import Path

import torch
from mmengine.dist import get_rank

import dsts_mmaction  # noqa: F401
from tests.builders import DSTS, specialize, tsm
from tests.runners import (
    RandomClips,
    hook_of,
    loader,
    logged,
    make_runner,
    upstream,
)

#: So that it counts what each rank draws.
NOISY = dict(DSTS, noise_scale=1.0)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    # Rank 0 gets batches of 4, 4, 2; rank 1 of 4, 4, 1.
    model = specialize(tsm(), dsts=NOISY)
    # Large ones fit the noise at once, and gradients vanish.
    model['cls_head']['head']['init_std'] = 0.01
    runner = make_runner(
        folder / 'work_dir',
        model,
        train_dataloader=loader(RandomClips(19), sampler=dict(
            type='DefaultSampler', shuffle=False, round_up=False)),
        launcher='pytorch',
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        seed=int(sys.argv[2]))
    rank, hook = get_rank(), hook_of(runner)
    assert runner.model.find_unused_parameters is False
    seen = dict(forwards=0, samples=[], states=[], gradients={})

    def count(*args):
        seen['forwards'] += 1

    runner.model.module.backbone.register_forward_hook(count)
    before_train = hook.before_train

    def install(runner):
        before_train(runner)
        loss = hook.learner.loss

        def broken(parameters, samples):
            value = loss(parameters, samples)
            return value * float('nan') if (runner.iter, rank) == (1, 1) \
                else value

        def keep(optimizer, *args):
            seen['gradients'][runner.iter] = [
                p.grad.clone() for p in optimizer.param_groups[0]['params']]

        hook.learner.loss = broken
        hook.learner.optimizer.register_step_pre_hook(keep)

    def look(samples):
        seen['samples'].append(
            (samples.features.detach(),
             torch.cat([s.gt_label for s in samples.data_samples])))
        seen['states'].append({
            n: v.clone() for n, v in runner.model.module.state_dict().items()})

    hook.before_steps.append(look)
    hook.before_train = install
    runner.train()
    seen.update(upstream=upstream(runner), skipped=hook.log.skipped,
                logged=logged(runner, 'upstream_grad_norm'))
    torch.save(seen, folder / f'rank{rank}.pth')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
