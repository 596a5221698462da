"""paper as a command: what it refuses, before anything is computed."""

from pathlib import Path

import pytest

from tests.experiments.command import ROOT, here

pytestmark = pytest.mark.usefixtures("evaluating")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--only=table7", "--only: table7 is not one of table1, table2"),
        ("--shots=0,1", "--shots: 0 is always run; give numbers of 1 or more"),
        ("--shots=one", "--shots=one are not whole numbers of 0 or more; give for example 0,1,2"),
        ("--seeds=1,1", "--seeds=1,1: give one or more, each once"),
        ("--domains=visas=there", "--domains: unknown data set 'visas'; choose from mvtec_ad"),
        ("--domains=elpv,elpv", "--domains=elpv,elpv: give each data set once"),
        ("--contrasts=2,1", "--contrasts=2.0,1.0 are not in order; give the lower bound first"),
        ("--contrasts=low", "--contrasts=low are not two numbers; give for example 0.5,1.5"),
        (
            "--prompts=none.json",
            "--prompts=none.json: cannot be read (No such file or directory); give",
        ),
        ("--window_sizes=9", "--window_sizes=9: window size 9 does not fit"),
        ("--rotations=90", "--rotations is not an option of winclip or anomalyclip; remove it"),
        (
            "--methods=winclip",
            "--methods=winclip: give two different methods, for example subspacead,winclip",
        ),
        ("--methods=winclip,winclip", "--methods=winclip,winclip: give two different methods"),
        ("--methods=winclip,clip", "method 'clip' is not one of winclip, anomalyclip"),
        ("--methods=winclip,musc", "musc scores a whole unlabelled set by itself"),
        ("--methods=coop,winclip", "--params is missing: coop needs a learned context"),
        (
            "--methods=winclip,padim --params=there",
            "--params is not an option of winclip or padim; remove it",
        ),
        (
            "--methods=coop,mrad --params=there",
            "--params=there: give coop=PATH,mrad=PATH or some of these",
        ),
        ("--methods=coop,mrad --params=coop=there", "--params=there: no such file or folder"),
        (
            f"--methods=winclip,padim --weights={ROOT / 'tests/golden/subspacead'}",
            "dinov2_with_registers has no text encoder, which winclip needs; give the weights of a CLIP",
        ),
        ("--dataset=folder", "--params is missing: anomalyclip needs learned prompts"),
    ],
)
def test_bad_flags(flag: str, message: str, weights: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    done = here(capsys, "paper", f"--weights={weights}", f"--out={out}", *flag.split())
    assert done.code == 1
    assert message in done.stderr.splitlines()[-1]
    assert not out.exists()


def test_too_few_references(folder: Path, weights: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    flags = [f"--weights={weights}", "--dataset=folder", f"--data_dir={folder}", f"--out={out}"]
    done = here(capsys, "paper", *flags, "--methods=winclip,padim", "--shots=1,6")
    assert done.stderr.splitlines()[-1] == (
        "error: --shots=1,6: padim needs reference images, and bottle has 5 normal training images; "
        "give smaller numbers or other methods"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is not JSON"),
        ("[]", 'expected {"normal": ["flawless {}"]'),
        ('{"normal": ["{}"]}', 'expected {"normal": ["flawless {}"]'),
        ('{"normal": ["{}"], "anomalous": []}', 'expected {"normal": ["flawless {}"]'),
        ('{"normal": ["fine"], "anomalous": ["{}"]}', "'fine': write {} once"),
        ('{"normal": ["{} {x}"], "anomalous": ["{}"]}', "'{} {x}': write {} once"),
        ('{"good": ["{}"], "defective": ["{}"]}', 'rename "good" to "normal" and "defective" to "anomalous"'),
    ],
)
def test_bad_prompts(content: str, message: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "prompts.json").write_text(content)
    done = here(capsys, "paper", f"--prompts={tmp_path / 'prompts.json'}", f"--out={tmp_path / 'out'}")
    assert done.code == 1
    assert message in done.stderr.splitlines()[-1]
