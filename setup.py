"""What is installed, and what it needs."""
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read_version() -> str:
    """The version, without importing the package and its requirements."""
    scope: dict = {}
    exec((HERE / 'dsts_mmaction' / 'version.py').read_text(), scope)
    return scope['__version__']


setup(
    name='dsts_mmaction',
    version=read_version(),
    description='Dynamic Spatio-Temporal Specialization for MMAction2',
    license='Apache-2.0',
    packages=find_packages(include=['dsts_mmaction', 'dsts_mmaction.*']),
    package_data={'dsts_mmaction': ['py.typed']},
    # numpy<2 has no wheels for Python 3.13.
    python_requires='>=3.10,<3.13',
    install_requires=[
        'mmaction2>=1.2.0,<1.3',
        'mmengine>=0.10.0,<0.11',
        # Older ones execute what a checkpoint says.
        'torch>=2.6',
        # MMAction2 uses names that numpy 2 dropped.
        'numpy<2',
        # The newer ones need numpy 2; both write the same files.
        'opencv-python<4.12',
        'opencv-contrib-python<4.12',
        'decord',
        'rich',
        'scipy',
        # Lays out the configs that tools/specialize.py writes.
        'yapf',
        # mmaction2 imports it without requiring it.
        'importlib_metadata',
        # mmengine imports pkg_resources, which 82 dropped.
        'setuptools<82',
    ],
    extras_require={
        # No mmcv above: it comes as mmcv-lite or, with compiled operators,
        # as mmcv, and the two must not be installed together.
        'lite': ['mmcv-lite>=2.0.0rc4,<2.2.0'],
        # For tools/benchmark.py and the demo.
        'bench': ['filelock', 'matplotlib'],
        # For the ONNX file of tools/deploy.py.
        'deploy': ['onnx', 'onnxscript', 'onnxruntime'],
        'test': ['pytest', 'pytest-xdist', 'hypothesis', 'ruff', 'mypy'],
    },
)
