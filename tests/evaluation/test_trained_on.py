"""What parameters were trained on is known and said, with a warning where the same is tested."""

import contextlib
import hashlib
import json
from pathlib import Path

import pytest

from tests.data.conftest import made_image, make_category, make_visa, mask, save
from tests.experiments.command import here
from tests.methods.test_authors_files import pickled, prompts
from tests.studies.mvtec import make_mvtec
from vlmad_jax.data import load_dataset
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation import comparison, trained_on
from vlmad_jax.evaluation.trained_on import Training, overlap_of, training_of

pytestmark = pytest.mark.usefixtures("evaluating")


def authors_file(path: Path) -> Path:
    """A made file of AnomalyCLIP's code that the one text layer of the quick weights takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return pickled(path, "prompt_learner", prompts(7, 1, 4))


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("9_12_4_multiscale/epoch_15.pth", "visa"),
        ("9_12_4_multiscale_visa/epoch_15.pth", "mvtec_ad"),
        ("9_12_4_multiscale_visa/kept/epoch_3.pth", "mvtec_ad"),
        ("authors/9_12_4_MULTISCALE_visa.pth", "mvtec_ad"),
        ("exps/pretrained/visa_pretrained.pth", "visa"),
        ("exps/pretrained/mvtec_pretrained.pth", "mvtec_ad"),
        ("visa/epoch_15.pth", None),
        ("8_12_4_multiscale/epoch_15.pth", None),
    ],
)
def test_files_are_known_by_the_names_that_the_authors_gave(tmp_path, name, dataset):
    found = training_of(authors_file(tmp_path / name))
    assert (found and found.dataset) == dataset


def test_the_content_counts_for_more_than_the_name_and_a_link_is_followed(tmp_path, monkeypatch):
    path = authors_file(tmp_path / "9_12_4_multiscale/epoch_15.pth")
    (tmp_path / "link.pth").symlink_to(path)
    assert training_of(tmp_path / "link.pth").dataset == "visa"
    monkeypatch.setitem(trained_on.BY_CONTENT, hashlib.sha256(path.read_bytes()).hexdigest(), "mvtec_ad")
    assert training_of(path) == Training("mvtec_ad", "its content")
    assert training_of(path.rename(tmp_path / "renamed.pth")).dataset == "mvtec_ad"


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    make_mvtec(tmp_path / "mvtec")
    return tmp_path / "mvtec"


def evaluated(capsys, experiment: str, weights: Path, out: Path, *flags: str) -> list[str]:
    """What a command wrote on stderr, without progress bars."""
    done = here(capsys, experiment, f"--weights={weights}", f"--out={out}", *flags)
    assert done.code == 0, done.stderr
    lines = done.stderr.replace("\r", "\n").splitlines()
    return [line for line in lines if "trained on" in line]


def test_mvtec_with_what_was_trained_on_it(tmp_path, mvtec, weights, capsys):
    wrong = authors_file(tmp_path / "9_12_4_multiscale_visa/epoch_15.pth")
    right = authors_file(tmp_path / "9_12_4_multiscale/epoch_15.pth")
    test = ["--method=anomalyclip", "--dataset=mvtec_ad", f"--data_dir={mvtec}", "--categories=bottle"]
    said = evaluated(capsys, "zero_shot", weights, tmp_path / "a", *test, f"--params={wrong}")
    reported, warned = said
    assert reported.startswith(f"{wrong}: was trained on mvtec_ad, ")
    assert "9_12_4_multiscale_visa" in reported.removeprefix(str(wrong))
    assert warned.startswith(f"warning: {wrong}: was trained on mvtec_ad, and that is the tested data set")
    assert "test another data set, or give --params trained on another" in warned
    (reported,) = evaluated(capsys, "zero_shot", weights, tmp_path / "b", *test, f"--params={right}")
    assert reported.startswith(f"{right}: was trained on visa, ")
    assert "9_12_4_multiscale" in reported.removeprefix(str(right))
    as_folder = load_dataset("folder", mvtec)
    assert overlap_of(training_of(wrong), as_folder) == f"{mvtec} looks like it"
    assert overlap_of(training_of(right), as_folder) is None


def test_compare_warns_of_each_method_once(tmp_path, mvtec, weights, capsys, monkeypatch):
    @contextlib.contextmanager
    def in_this_process(build, *arguments):
        yield lambda name: getattr(build(*arguments), name)()

    monkeypatch.setattr(comparison, "in_process", in_this_process)
    wrong = authors_file(tmp_path / "9_12_4_multiscale_visa/epoch_15.pth")
    flags = ["--methods=anomalyclip", "--shots=0", "--dataset=mvtec_ad", f"--data_dir={mvtec}"]
    said = evaluated(
        capsys,
        "compare",
        weights,
        tmp_path / "out",
        *flags,
        "--categories=bottle",
        f"--params=anomalyclip={wrong}",
    )
    assert [line.startswith("warning: ") for line in said] == [False, True]


def test_paper_warns(tmp_path, mvtec, weights, capsys):
    wrong = authors_file(tmp_path / "9_12_4_multiscale_visa/epoch_15.pth")
    flags = ["--dataset=mvtec_ad", f"--data_dir={mvtec}", "--categories=bottle", "--only=table3"]
    said = evaluated(capsys, "paper", weights, tmp_path / "out", *flags, f"--params={wrong}")
    assert [line.startswith("warning: ") for line in said] == [False, True]


def test_own_training_records_what_it_saw(tmp_path, folder, weights, capsys):
    """Images are known by their content, in whatever folder; others of the same name are not."""
    train = ["--method=anomalyclip", f"--weights={weights}", "--epochs=1", f"--data_dir={folder}"]
    out = tmp_path / "out"
    done = here(capsys, "train", *train, "--dataset=folder", "--categories=bottle", f"--out={out}")
    assert done.code == 0, done.stderr
    recorded = json.loads((out / "params/params.json").read_text())["trained_on"]
    assert (recorded["dataset"], recorded["categories"], len(recorded["images"])) == ("folder", ["bottle"], 5)

    test = ["--method=anomalyclip", "--dataset=folder", f"--data_dir={folder}", "--categories=bottle"]
    said = evaluated(capsys, "zero_shot", weights, tmp_path / "same", *test, f"--params={out / 'params'}")
    same = "5 of the 5 tested images are among those"
    (line,) = said
    assert line.startswith(f"warning: {out / 'params'}: was trained on folder, and {same}")
    training = training_of(out / "params")
    moved = folder.rename(tmp_path / "moved")
    (moved / "bottle").rename(moved / "flask")
    assert overlap_of(training, load_dataset("folder", moved, ("flask",))) == same
    other = tmp_path / "other/bottle"
    save(made_image(90), other / "test/good/000.png")
    save(made_image(91), other / "test/scratch/000.png")
    save(mask(), other / "ground_truth/scratch/000_mask.png")
    assert overlap_of(training, load_dataset("folder", tmp_path / "other")) is None


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / "params.json").write_text(
        json.dumps({"method": "coop", "setting": {}, "weights": "w", "backbone": "b", "trained_on": {}})
    )
    with pytest.raises(InputError, match="is damaged; copy it again"):
        training_of(tmp_path)


def test_bundled_parameters_name_their_data_set():
    for name, path in trained_on.BUNDLED_PARAMS.items():
        assert training_of(path).dataset == "synthetic_train", name


def test_what_a_folder_resembles(tmp_path):
    make_visa(tmp_path / "visa")
    visa = load_dataset("visa", tmp_path / "visa")
    assert overlap_of(Training("visa", ""), visa) == "that is the tested data set"
    assert overlap_of(Training("visa", "", frozenset({"pcb4"})), visa) is None
    assert overlap_of(Training("mvtec_ad", ""), visa) is None
    for category in ("candle", "pcb1"):
        save(made_image(1), tmp_path / "copy" / category / "test/good/0.png")
        save(made_image(2), tmp_path / "copy" / category / "test/bad/0.png")
    copy = load_dataset("folder", tmp_path / "copy")
    assert overlap_of(Training("visa", ""), copy) == f"{copy.root} looks like it"
    own = load_dataset("folder", tmp_path / "copy", ("candle",))
    assert overlap_of(Training("visa", ""), own) is None
    make_category(tmp_path / "own/bottle")  # other defects than MVTec AD's
    assert overlap_of(Training("mvtec_ad", ""), load_dataset("folder", tmp_path / "own")) is None
