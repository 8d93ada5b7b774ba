"""The packages of the extra `export`, which write and run ONNX files."""

import importlib.util

from benchmark.errors import BenchmarkError

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_packages(needed_by: str = "ONNX files") -> None:
    """Check that the packages are installed.

    Parameters
    ----------
    needed_by
        What needs them, for the message.

    Raises
    ------
    BenchmarkError
        If one is not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise BenchmarkError(f'{needed_by}: {", ".join(missing)} not installed; pip install ".[export]"')
