"""The command `vlmad`, and what every command has: -h, --version, --cite, `~` in paths."""

import importlib.metadata
import os
import re
import sys

import pytest
from absl import flags

import vlmad_jax
from tests.experiments.command import ROOT, here, there
from vlmad_jax.commands import calling, common, console, paths
from vlmad_jax.methods import BATCHED, METHODS
from vlmad_jax.runtime import about

NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
PATH_FLAGS = {
    "out", "data_dir", "params", "references", "weights", "trace", "detector", "words", "start", "domains",
    "train_data_dir", "test_data_dir",
}  # fmt: skip


def vlmad(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/vlmad", *arguments])
    monkeypatch.setattr(calling, "PREFIX", None)
    code = console.main()
    return code, *capsys.readouterr()


def cited(text: str) -> list[str]:
    """The keys of the entries."""
    return re.findall(r"^@\w+\{(\w+),", text, re.M)


def test_help_lists_every_command_with_a_line(capsys, monkeypatch):
    code, text, _ = vlmad(capsys, monkeypatch, "--help")
    listed = re.findall(r"^  (\w+) +(\S.*)$", text, re.M)
    assert (code, [name for name, _ in listed]) == (0, NAMES)
    assert (
        dict(listed)["zero_shot"] == "Evaluate a method zero-shot: without reference images of the product."
    )
    assert dict(listed)["predict"].endswith("with a detector of vlmad fit.")
    assert vlmad(capsys, monkeypatch, "-h")[1] == vlmad(capsys, monkeypatch)[1] == text


def test_an_unknown_command_is_refused(capsys, monkeypatch):
    code, out, error = vlmad(capsys, monkeypatch, "zero-shoot")
    assert (code, out, error.count("\n")) == (1, "", 1)
    for part in ("'zero-shoot'", "did you mean zero_shot?", "vlmad --help"):
        assert part in error


def test_vlmad_version_and_cite(capsys, monkeypatch):
    assert vlmad(capsys, monkeypatch, "--version") == (0, f"{vlmad_jax.__version__}\n", "")
    code, text, _ = vlmad(capsys, monkeypatch, "--cite", "--method=hybrid")
    assert code == 0
    assert re.findall(r"^@\w+\{(\w+),", text, re.M) == [
        "vlmad_jax",
        "jeong2023winclip",
        "zhou2024anomalyclip",
    ]
    assert f"version = {{{vlmad_jax.__version__}}}" in text
    code, text, error = vlmad(capsys, monkeypatch, "--cite", "nothing")
    assert (code, text) == (1, "")
    assert error.startswith("error: --cite: unknown method 'nothing'; see vlmad zero_shot --help")


def test_a_command_speaks_as_it_was_called(capsys, monkeypatch):
    monkeypatch.setattr(calling, "PREFIX", "vlmad ")
    told = "make it with experiments.fit, python -m experiments.fit, not x/experiments.fit, experiments.fit/y"
    asked = "make it with vlmad fit, vlmad fit, not x/experiments.fit, experiments.fit/y"
    assert calling.rename_commands(told) == asked
    done = here(capsys, "predict")
    assert (
        done.stderr
        == "error: DETECTOR is missing; the command is vlmad predict DETECTOR IMAGES... [--flags]\n"
    )


def test_every_method_has_a_paper_and_the_version_is_that_of_pyproject():
    assert about.PAPERS.keys() == METHODS.keys() | BATCHED.keys()
    assert f'version = "{vlmad_jax.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert about.version() == vlmad_jax.__version__ != "unknown"


def test_scripts_and_the_package_run_from_elsewhere(tmp_path):
    done = there(str(ROOT / "experiments/zero_shot.py"), "-h", cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    assert f"python {ROOT / 'experiments'}{os.sep}zero_shot.py --method=winclip" in done.stdout
    done = there("-m", "vlmad_jax", "few-shot", "--method=winclip", "--shots=0", cwd=tmp_path)
    told = "error: --shots=0 is zero-shot; give 1 or more, or use python -m vlmad_jax zero_shot\n"
    assert done == (1, "", told)


def test_no_script_hides_a_module():
    known = sys.stdlib_module_names | importlib.metadata.packages_distributions().keys()
    assert not known & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_tells_its_version_and_expands_its_paths(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    seen = {}

    def look(entry, *names):
        values = flags.FLAGS
        given = [flag for flag in PATH_FLAGS if flag in values and values[flag].flag_type() != "bool"]
        lists = {flag for flag in given if isinstance(values[flag].parser, paths.PathListParser)}
        _, *_ = values([name, *(f"--{flag}=~/a" + ",b=~/c" * (flag in lists) for flag in given)])
        seen.update({flag: values[flag].value for flag in given})
        return original(entry, *names)

    original = common.main
    monkeypatch.setattr(common, "main", look)
    done = here(capsys, name, "--version")
    assert done == (0, f"{vlmad_jax.__version__}\n", "")
    assert "out" in seen
    for value in seen.values():
        assert value in ("/home/someone/a", ["/home/someone/a", "b=/home/someone/c"])
    texts = {flag for flag in seen if re.search(r"(^|_)(dir|out|path|file|folder)$", flag)}
    assert texts <= PATH_FLAGS


def test_arguments_and_lists_of_paths_are_expanded(capsys, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    done = here(capsys, "predict", "~/nut.vlmad", "~/new")
    assert done.stderr.startswith("error: /home/someone/nut.vlmad: no such detector; make one with")
    assert paths.PathsParser().parse("~/a,~/b,c~") == "/home/someone/a,/home/someone/b,c~"


def test_cite_of_a_command(capsys):
    done = here(capsys, "compare", "--cite", "--methods=spade,coop")
    assert re.findall(r"^@\w+\{(\w+),", done.stdout, re.M) == ["vlmad_jax", "cohen2020spade", "zhou2022coop"]
    assert here(capsys, "fit", "--cite", "--method=x").stderr.startswith(
        "error: method 'x' is not one of winclip"
    )
