"""Results of a benchmark that never ran."""
import numpy as np

CLASSES = ['grab', 'tap', 'pinch', 'swipe left', 'swipe right', 'shake']
ACCURACY = dict(baseline=.6, baseline_extra=.65, control_compute=.66,
                dsts_joint=.67, dsts_udl2=.75)
GROUPS = dict(source='validation confusions of the baseline',
              groups=[[0, 2], [3, 4]])


def fake_run(variant, seed, rng, host='tsm_r18', clips=200):
    """A run whose numbers fit together."""
    labels = rng.integers(len(CLASSES), size=clips)
    wrong = (labels + rng.integers(1, 6, size=clips)) % 6
    hit = rng.random(clips) < ACCURACY.get(variant, .7)
    confusion = np.zeros((6, 6), dtype=int)
    np.add.at(confusion, (labels, np.where(hit, labels, wrong)), 1)
    top1 = 100 * float(hit.mean())
    curve = [dict(epoch=e + 1, loss=float(2 / (e + 1) + rng.random() / 9))
             for e in range(6)]
    for point in curve[2::3]:
        point['val_top1'] = top1 - 6 + point['epoch'] - 1
    return dict(
        host=host, data_set='gestures', variant=variant, seed=seed, top1=top1,
        top5=99.0, mean_class=top1 - .5, within_group=top1 + 3,
        val_top1=top1 - 1, confusion=confusion.tolist(),
        correct=''.join('01'[int(h)] for h in hit), parameters=11_190_000,
        flops=1.2e9, seconds_per_iter=.44, peak_memory_mb=900, curve=curve,
        work_dir=f'{host}/{variant}/seed{seed}')


def fake_results(seed=0, seeds=3, variants=tuple(ACCURACY),
                 hosts=('tsm_r18', ),
                 command='python tools/benchmark.py tsm_r18.py'):
    rng = np.random.default_rng(seed)
    return dict(
        format=1, command=command, date='2000-01-02',
        machine=dict(cpu='some CPU', cores=2, threads_per_run=1, gpu=None,
                     torch='2.13.0'),
        data_set=dict(name='gestures', num_classes=6, train=500, val=100,
                      test=200, class_names=CLASSES),
        protocol=dict(warm_start=True, epochs=12, extra_epochs=6),
        groups=GROUPS,
        runs=[fake_run(variant, s, rng, host) for host in hosts
              for variant in variants for s in range(seeds)],
        failed=[dict(host='tsm_r18', variant='dsts_udl1', seed=0,
                     reason='the loss | was NaN')])
