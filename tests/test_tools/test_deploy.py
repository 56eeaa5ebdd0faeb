"""tools/deploy.py: what it writes predicts what the trained model predicts."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.apis import inference_recognizer, init_recognizer
from mmaction.structures import ActionDataSample
from mmengine.config import Config

from dsts_mmaction.adapters.specialized import plain_state_dict
from dsts_mmaction.datasets.synthdive.writer import write_video
from dsts_mmaction.deploy import deploy as deploying
from dsts_mmaction.deploy import exporting
from dsts_mmaction.deploy.clips import difference, predict
from dsts_mmaction.deploy.deploy import deploy
from dsts_mmaction.deploy.fusing import fuse_conv_bn, fuse_dsts
from dsts_mmaction.dsts import Synapse
from tests.builders import (
    DSTS,
    build,
    randomize_dsts,
    slowfast,
    slowonly,
    specialize,
    tsm,
)

TOOLS = Path(__file__).parents[2] / 'tools'
OPTIONS = dict(DSTS, num_neurons=4)
MODELS = dict(
    tsm=specialize(tsm(), dsts=OPTIONS),
    slowfast=specialize(slowfast(), channels=(128, 16), dsts=OPTIONS),
    neck=dict(slowonly(), neck=dict(type='DSTSNeck', in_channels=128,
                                    dsts=OPTIONS)),
    layer=specialize(slowonly(), layer='layer3', channels=64, dsts=OPTIONS))
# Two views of each clip where a view is not one of segments.
STEPS = dict(
    NCHW=[dict(type='SampleFrames', clip_len=1, num_clips=8,
               test_mode=True)],
    NCTHW=[dict(type='SampleFrames', clip_len=8, num_clips=2,
                test_mode=True)])
NO_ONNX = ('onnx, onnxscript or onnxruntime is not installed: pip install '
           "'dsts_mmaction[deploy]'")


def make_model(cfg):
    """With statistics, weights and gates of its own throughout."""
    model = build(cfg).float().eval()
    randomize_dsts(model)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    spread_routing(model, some_clips(cfg, 8))
    return model


def spread_routing(model, clips):
    """Synapses with statistics of these clips, and scores of mean 0.

    Shifted features of the first and last frame differ in all clips alike: by
    that, one neuron could win for all.
    """

    def adapt(synapse, args):
        frames, norm = args[0].mean(dim=(3, 4)), synapse.time_course.norm
        norm.running_mean.copy_(frames.mean((0, 2)))
        norm.running_var.copy_(frames.var((0, 2)))
        # Its forward alone: a call would come back here.
        synapse.linear.bias.sub_(synapse.forward(*args).mean(0))

    hooks = [module.register_forward_pre_hook(adapt)
             for module in model.modules() if isinstance(module, Synapse)]
    inputs = model.data_preprocessor.preprocess(list(clips), None)[0]
    with torch.no_grad():
        model(inputs, mode='predict',
              data_samples=[ActionDataSample() for _ in clips])
    for hook in hooks:
        hook.remove()


def trained(folder, name, model=None):
    """A config and a checkpoint of a recognizer, as after its training."""
    cfg = model or MODELS[name]
    layout = cfg['data_preprocessor']['format_shape']
    pipeline = [dict(type='DecordInit'), *STEPS[layout],
                dict(type='DecordDecode'),
                dict(type='Resize', scale=(-1, 32)),
                dict(type='CenterCrop', crop_size=32),
                dict(type='FormatShape', input_format=layout),
                dict(type='PackActionInputs')]
    Config(dict(
        custom_imports=dict(imports=['dsts_mmaction'],
                            allow_failed_imports=False),
        default_scope='mmaction', model=cfg, test_pipeline=pipeline,
        test_dataloader=dict(
            batch_size=2, num_workers=2, persistent_workers=True,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='VideoDataset', ann_file=f'{folder}/test.txt',
                         data_prefix=dict(video=str(folder)),
                         pipeline=pipeline, test_mode=True)),
        test_evaluator=dict(type='AccMetric'),
        # It copies the model before that has its checkpoint.
        custom_hooks=[dict(type='EMAHook')],
        test_cfg=dict(type='TestLoop'))).dump(folder / f'{name}.py')
    recognizer = make_model(cfg)
    torch.save(dict(state_dict=recognizer.state_dict(),
                    optimizer=dict(state={}), meta=dict(epoch=3, cfg='…')),
               folder / f'{name}.pth')
    return folder / f'{name}.py', folder / f'{name}.pth'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Four videos of different colours, and their list."""
    folder = tmp_path_factory.mktemp('videos')
    draw = np.random.default_rng()
    lines = []
    for i in range(4):
        colour = draw.integers(0, 200, size=(1, 1, 1, 3))
        video = colour + draw.integers(56, size=(20, 64, 96, 3))
        write_video(str(folder / f'{i}.mp4'), video.astype(np.uint8), fps=30)
        lines.append(f'{i}.mp4 {i}\n')
    (folder / 'test.txt').write_text(''.join(lines))
    return folder


def some_clips(cfg, count):
    """Other clips than those it was exported with, of random colours."""
    shape = ((count, 8, 3, 32, 32) if cfg['type'] == 'Recognizer2D' else
             (count, 2, 3, 8, 32, 32))
    colour = torch.randint(0, 200, (count, 1, 3, 1, 1))
    if len(shape) == 6:
        colour = colour.unsqueeze(-1)
    return (colour + torch.randint(0, 56, shape)).to(torch.uint8)


def expected_for(model, clips):
    return predict(model, [dict(inputs=clip, data_samples=ActionDataSample())
                           for clip in clips])


@pytest.mark.parametrize('name', ['tsm', 'slowfast'])
def test_every_written_form_predicts_the_same(name, folder, tmp_path,
                                              one_thread):
    config, checkpoint = trained(folder, name)
    onnx = exporting.missing_packages() is None
    # One of the two is enough for the program, which takes its time.
    program = name == 'slowfast'
    written = deploy(str(config), checkpoint, tmp_path, onnx=onnx,
                     program=program)
    assert sorted(tmp_path.iterdir()) == sorted(row.path for row in written)
    assert [row.path.name for row in written] == [
        f'{name}_deploy{suffix}' for suffix in (
            '.py', '.pth', *(['.onnx'] if onnx else []),
            *(['.pt2'] if program else []))]
    assert all(row.difference is None or row.difference.is_small
               for row in written)
    files = {row.path.suffix: str(row.path) for row in written}

    # The small config, and MMAction2's own ways to use it.
    text = (tmp_path / f'{name}_deploy.py').read_text()
    assert text.endswith('model = dict(cls_head=dict(dsts=dict('
                         'deployed=True)))\n')
    loaded = torch.load(files['.pth'], weights_only=True)
    assert loaded['meta'] == dict(epoch=3)
    before = init_recognizer(str(config), str(checkpoint), device='cpu')
    after = init_recognizer(files['.py'], files['.pth'], device='cpu')
    assert set(after.state_dict()) == set(loaded['state_dict'])
    for i in range(2):
        a, b = (inference_recognizer(model, str(folder / f'{i}.mp4'))
                for model in (before, after))
        torch.testing.assert_close(a.pred_score, b.pred_score, atol=1e-5,
                                   rtol=1e-5)

    # Batches of any size, of clips that the tool has not seen.
    if program:
        program = torch.export.load(files['.pt2'])
    for size in (1, 9):
        clips = some_clips(MODELS[name], size)
        expected = expected_for(before, clips)
        if program:
            assert difference(expected, exporting.run_program(
                program, clips, size)).is_small
        if onnx:
            assert difference(expected, exporting.run_onnx(
                files['.onnx'], clips, size)).is_small
    assert len(expected.routing.unique(dim=0)) > 1
    assert np.ptp(expected.scores.numpy(), axis=0).max() > 1e-2
    if not onnx:
        pytest.skip(f'the rest passed; {NO_ONNX}')


@pytest.mark.parametrize('name', ['neck', 'layer'])
def test_other_places_of_the_module(name, one_thread):
    model = make_model(MODELS[name])
    clips = some_clips(MODELS[name], 5)
    expected = expected_for(model, clips)
    deployed = fuse_dsts(model)
    assert difference(expected, expected_for(deployed, clips)).is_small
    program = exporting.export(
        exporting.Exportable(deployed, clips[:2]), clips[:2])
    for size in (1, 5):
        assert difference(expected, exporting.run_program(
            program, clips, size)).is_small
    # The copy's hooks are its own.
    assert difference(expected, expected_for(model, clips)).scores == 0


@pytest.mark.parametrize('name', MODELS)
def test_convolutions_and_norms_of_the_backbone_become_one(name):
    model = make_model(MODELS[name]).double()
    clips = some_clips(MODELS[name], 2)
    expected = expected_for(model, clips)
    fused = fuse_conv_bn(model)
    assert not [m for m in fused.backbone.modules()
                if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    found = difference(expected, expected_for(fused, clips))
    assert found.scores < 1e-9 and found.same == found.choices


def test_command(folder, tmp_path):
    config, checkpoint = trained(folder, 'tsm')
    out = tmp_path / 'out'

    def run(tool, *args):
        return subprocess.run(
            [sys.executable, '-W', 'ignore', str(TOOLS / tool),
             *map(str, args)], capture_output=True, text=True, cwd=tmp_path)

    done = run('deploy.py', config, checkpoint, '--out', out, '--no-onnx',
               '--no-export', '--clips', 2)
    assert done.returncode == 0, done.stderr
    assert 'tsm_deploy.pth' in done.stdout and '4/4' in done.stdout
    assert {path.suffix for path in out.iterdir()} == {'.py', '.pth'}
    tested = run('test.py', out / 'tsm_deploy.py', out / 'tsm_deploy.pth',
                 '--cfg-options', 'test_dataloader.num_workers=0',
                 'test_dataloader.persistent_workers=False')
    assert tested.returncode == 0, tested.stderr
    assert 'acc/top1' in tested.stdout


def test_mistakes_are_one_sentence_and_write_nothing(folder, tmp_path,
                                                     monkeypatch):
    config, checkpoint = trained(folder, 'tsm')
    plain_config, _ = trained(folder, 'plain', model=tsm())
    other_config, _ = trained(folder, 'slowfast')
    plain = tmp_path / 'plain.pth'
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    torch.save(dict(state_dict=plain_state_dict(state)), plain)
    text = tmp_path / 'text.pth'
    text.write_text('not a checkpoint')
    number = tmp_path / 'number.pth'
    torch.save(torch.zeros(1), number)
    files = tmp_path / 'deployed'
    quick = dict(onnx=False, program=False)
    deploy(str(config), checkpoint, files, num_clips=2, **quick)
    (tmp_path / 'empty.txt').write_text('')
    out = tmp_path / 'out'

    def check(match, *args, **options):
        with pytest.raises((ValueError, OSError), match=match):
            deploy(*args, out, **{**quick, **options})
        assert not out.exists()

    with pytest.raises(ValueError, match='tsm_deploy.py exists: give --force '
                                         'to replace it, or another --out'):
        deploy(str(config), checkpoint, files)
    check('does not exist', 'nowhere.py', checkpoint)
    check('No such file', str(config), tmp_path / 'nowhere.pth')
    check('no checkpoint that torch can read', str(config), text)
    check('it holds a Tensor', str(config), number)
    check('plain.py cannot be deployed: it has no DSTSHead',
          str(plain_config), checkpoint)
    check('already; give the one', str(files / 'tsm_deploy.py'), checkpoint)
    check('is that of a deployed recognizer', str(config),
          files / 'tsm_deploy.pth')
    check('not that of a specialized recognizer', str(config), plain)
    check('does not fit the config: ', str(other_config), checkpoint)
    check('--clips must be 2 or more, got 1', str(config), checkpoint,
          num_clips=1)
    check('the data set of test_dataloader gives no clips', str(config),
          checkpoint, cfg_options={
              'test_dataloader.dataset.ann_file':
              str(tmp_path / 'empty.txt')})
    check('gives no clips: .*nowhere.txt', str(config), checkpoint,
          cfg_options={'test_dataloader.dataset.ann_file': 'nowhere.txt'})
    check('gives no clips', str(config), checkpoint, cfg_options={
        'test_dataloader.dataset.indices': 0,
        'test_dataloader.sampler.round_up': False})
    single = {'test_dataloader.dataset.indices': 1}
    check('gives a single clip, and exporting takes 2 or more', str(config),
          checkpoint, cfg_options=single, program=True)
    deploy(str(config), checkpoint, tmp_path / 'single', cfg_options=single,
           **quick)
    with pytest.raises(ValueError, match='must be a folder, and is a file'):
        deploy(str(config), checkpoint, text, **quick)
    monkeypatch.setattr(exporting, 'PACKAGES', ('onnx_of_no_one',))
    check(r'ONNX needs onnx_of_no_one, not installed here: pip install '
          r"'dsts_mmaction\[deploy\]'", str(config), checkpoint, onnx=True)


@pytest.mark.parametrize('what', ['kernels', 'routing'])
def test_a_form_that_predicts_something_else_is_not_written(
        what, folder, tmp_path, monkeypatch):
    config, checkpoint = trained(folder, 'tsm')

    def spoiled(model):
        model = fuse_dsts(model)
        layer = model.cls_head.dsts[0].layers[1]
        if what == 'kernels':
            layer.bias.add_(0.01)
        else:  # the same neuron under another number
            order = [1, 0, 3, 2]
            for tensor in (layer.synapse.weight, layer.synapse.bias,
                           layer.spatial_kernels, layer.temporal_kernels,
                           layer.places):
                tensor.copy_(tensor[order].clone())
        return model

    monkeypatch.setattr(deploying, 'fuse_dsts', spoiled)
    with pytest.raises(ValueError, match='of the .pth file would differ'):
        deploy(str(config), checkpoint, tmp_path / 'out', onnx=False)
    assert not (tmp_path / 'out').exists()


def test_what_fails_half_way_leaves_what_was_there(folder, tmp_path,
                                                   monkeypatch):
    config, checkpoint = trained(folder, 'tsm')
    quick = dict(num_clips=2, onnx=False)
    deploy(str(config), checkpoint, tmp_path, program=False, **quick)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(program, path):
        Path(path).write_text('half of it')
        raise OSError('no space left')

    monkeypatch.setattr(torch.export, 'save', fail)
    with pytest.raises(OSError, match='no space left'):
        deploy(str(config), checkpoint, tmp_path, force=True, **quick)
    with pytest.raises(OSError, match='no space left'):
        deploy(str(config), checkpoint, tmp_path / 'new' / 'out', **quick)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize('where', ['backbone', 'dsts'])
def test_what_torch_cannot_export_is_named(where):
    model = fuse_dsts(make_model(MODELS['layer']))
    clips = some_clips(MODELS['layer'], 2)

    def hook(module, args, output):
        if torch.is_tensor(output):
            return output if output.sum() > 0 else -output
        return output if output[0].sum() > 0 else output[:]

    part = (model.backbone.layer1 if where == 'backbone' else
            model.cls_head.dsts[0].layers[0])
    part.register_forward_hook(hook)
    match = ('plain recognizer, Recognizer3D of ResNet3dSlowOnly, with or '
             'without' if where == 'backbone' else
             'cannot take DSTS in Recognizer3D of ResNet3dSlowOnly')
    with pytest.raises(ValueError, match=match):
        exporting.export(exporting.Exportable(model, clips), clips)


def test_recognizers_of_unknown_steps_are_refused():
    model = make_model(MODELS['tsm'])
    model.data_preprocessor.format_shape = 'MIX2d3d'
    clips = some_clips(MODELS['tsm'], 2)
    with pytest.raises(ValueError, match="of format_shape 'MIX2d3d' cannot"):
        exporting.Exportable(model, clips)
    head = model.cls_head.head
    head.__class__ = type('OwnHead', (type(head),), dict(predict=None))
    with pytest.raises(ValueError, match='with OwnHead cannot be exported'):
        exporting.Exportable(model, clips)
    model.__class__ = type('Recognizer4D', (type(model),), {})
    with pytest.raises(ValueError, match='^Recognizer4D cannot be exported'):
        exporting.Exportable(model, clips)
