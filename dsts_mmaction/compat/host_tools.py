"""MMAction2's own command lines, run with this package imported first.

The scripts are those of the installed mmaction2, not copies. Importing the
package first matters for the tools that import ``mmaction.models`` before
they read a config, and spares a config its ``custom_imports``.
"""
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path


def tools_folder() -> Path:
    """The folder of scripts that an installed mmaction2 brings along.

    Raises:
        FileNotFoundError: If mmaction2 was installed without it.
    """
    import mmaction
    package = Path(mmaction.__file__).parent
    folder = package / '.mim' / 'tools'
    if not folder.is_dir():
        raise FileNotFoundError(
            f'the mmaction2 in {package} has no .mim/tools, as after an '
            'editable install: install it with "pip install mmaction2" to '
            'run its tools from here.')
    return folder


def find_tool(name: str) -> Path:
    """The script of MMAction2 with this path inside its tools folder.

    Args:
        name: Such as ``'train.py'`` or
            ``'analysis_tools/confusion_matrix.py'``.

    Raises:
        FileNotFoundError: If MMAction2 has no such tool, or no tools.
    """
    folder = tools_folder()
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob('*.py'))
    if name not in names:
        raise FileNotFoundError(
            f'{name!r} is not one of the tools of MMAction2: '
            f'{", ".join(names)}.')
    return folder / name


def run_tool(name: str, args: Sequence[str]) -> None:
    """Run a tool of MMAction2 as if it had been called with ``args``.

    Args:
        name: The path of the script inside the tools folder.
        args: Its command-line arguments.

    Raises:
        SystemExit: With one sentence, if there is no such tool; and when the
            tool exits.
    """
    try:
        script = find_tool(name)
    except FileNotFoundError as error:
        raise SystemExit(f'error: {error}') from None
    sys.argv = [str(script), *args]
    # As Python does for a script; some tools also import `tools.data`.
    sys.path[:0] = [str(script.parent), str(tools_folder().parent)]
    runpy.run_path(str(script), run_name='__main__')
