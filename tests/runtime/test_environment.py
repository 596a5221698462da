"""The environment of a run is stored beside its results, not in them."""

import json
from pathlib import Path

import jax
import pytest

import vlmad_jax
from tests.experiments.command import here
from vlmad_jax.runtime.environment import commit, environment


def test_versions_and_devices():
    found = environment()
    assert found["versions"]["vlmad_jax"] == vlmad_jax.__version__
    assert found["versions"]["jax"] == jax.__version__
    assert found["versions"]["jaxlib"] == jax.lib.__version__
    assert (found["backend"], found["devices"]) == (jax.default_backend(), jax.local_device_count())


def test_the_commit_is_read_from_the_clone(tmp_path: Path):
    assert commit(tmp_path) is None
    git, first, second = tmp_path / ".git", "1" * 40, "2" * 40
    git.mkdir()
    (git / "HEAD").write_text(f"{first}\n")
    assert commit(tmp_path) == first
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit(tmp_path) is None
    (git / "packed-refs").write_text(f"# pack-refs\n{first} refs/heads/main-2\n{second} refs/heads/main\n")
    assert commit(tmp_path) == second
    (git / "refs/heads").mkdir(parents=True)
    (git / "refs/heads/main").write_text(f"{first}\n")
    assert commit(tmp_path) == first
    tree, own = tmp_path / "tree", git / "worktrees/tree"
    tree.mkdir()
    own.mkdir(parents=True)
    (tree / ".git").write_text(f"gitdir: {own}\n")
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    assert commit(tree) == first


@pytest.mark.usefixtures("evaluating")
def test_it_is_stored_beside_the_metrics(folder: Path, weights: Path, tmp_path: Path, capsys):
    flags = ["--method=winclip", f"--weights={weights}", "--dataset=folder", f"--data_dir={folder}"]
    done = here(capsys, "zero_shot", *flags, f"--out={tmp_path / 'out'}", "--window_sizes=3")
    assert done.code == 0, done.stderr
    assert json.loads((tmp_path / "out/environment.json").read_text()) == environment()
    assert vlmad_jax.__version__ not in (tmp_path / "out/metrics.json").read_text()


@pytest.mark.parametrize("flag", ["weights", "params"])
def test_missing_files_are_reported_before_data_are_read(flag: str, tmp_path: Path, capsys):
    flags = ["--method=anomalyclip", f"--{flag}=no/where/x", "--dataset=folder", "--data_dir=none"]
    for command in ("zero_shot", "compare", "paper"):
        given = [x.replace("--method", "--methods") if command == "compare" else x for x in flags]
        done = here(
            capsys, command, *(given[1:] if command == "paper" else given), f"--out={tmp_path / 'out'}"
        )
        assert done.code == 1
        assert "no/where/x: no such" in done.stderr.splitlines()[-1]
        assert not (tmp_path / "out").exists()
