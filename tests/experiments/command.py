"""Running the experiments as commands: here, which is quick, or in a process of their own."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from absl import app, flags

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "tests/golden/winclip"  # images of 64 pixels, a grid of 8 x 8 patches


def with_devices(count: int) -> dict[str, str]:
    """The environment of a process that has this many virtual devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    return os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


class Done(NamedTuple):
    """The exit code of a command and what it printed."""

    code: int
    stdout: str
    stderr: str


def here(capsys: pytest.CaptureFixture[str], experiment: str, *arguments: str) -> Done:
    """Runs `python -m experiments.<experiment>` in this process, and forgets its flags afterwards."""
    app.define_help_flags()
    before, code = sys.argv, 0
    sys.argv = [experiment, *arguments]
    capsys.readouterr()
    try:
        runpy.run_module(f"experiments.{experiment}", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.argv = before
        for name in list(flags.FLAGS):
            if flags.FLAGS.find_module_defining_flag(name).endswith(f"experiments/{experiment}.py"):
                delattr(flags.FLAGS, name)
        for name in {"version", "cite"} & set(flags.FLAGS):  # they are everybody's, and stay
            flags.FLAGS[name].unparse()
    return Done(code, *capsys.readouterr())


def there(*arguments: str, cwd: Path = ROOT, **environment: str) -> Done:
    """Runs Python with the arguments in a process of its own."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Done(done.returncode, done.stdout, done.stderr)
