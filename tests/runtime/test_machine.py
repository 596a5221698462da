"""The processor's name and instruction sets, from /proc/cpuinfo."""

from pathlib import Path

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
