"""The processor's name and instruction sets, from /proc/cpuinfo, and the memory of devices."""

from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from vlmad_jax.runtime import machine

XEON = """\
processor\t: 0
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C
flags\t\t: fpu fma avx avx2 avx512f avx512_bf16 amx_bf16 avx512_fp16 amx_tile amx_int8 bf16x
processor\t: 1
model name\t: another
"""
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd asimdhp sve i8mm bf16\n"


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        (
            XEON,
            "Intel(R) Xeon(R) Platinum 8481C (family 6, model 143)",
            ["avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8"],
        ),
        (GRAVITON, None, ["asimd", "sve", "bf16", "i8mm"]),
        (None, None, []),
    ],
)
def test_the_processor(
    text: str | None, name: str | None, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    described = machine.describe()
    assert described["instruction_sets"] == found
    assert described["cpu"] == name or (name is None and described["cpu"])


@pytest.mark.parametrize(
    ("statistics", "expected"),
    [
        ({"bytes_limit": 10, "bytes_in_use": 4, "peak_bytes_in_use": 5}, 6),
        ({"bytes_limit": 10, "bytes_in_use": 12}, 0),
        ({"bytes_limit": -1, "bytes_in_use": 4}, 0),
        ({"bytes_in_use": 4}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_free_device_memory(statistics, expected, monkeypatch):
    assert machine.free_device_memory() == 0  # a CPU
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [SimpleNamespace(memory_stats=lambda: statistics)])
    assert machine.free_device_memory() == expected
