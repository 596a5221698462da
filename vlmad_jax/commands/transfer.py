"""Parts of experiments.transfer: the folders of several test sets, and the table of their means."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from vlmad_jax.data import DATASETS
from vlmad_jax.errors import InputError
from vlmad_jax.metrics import METRIC_NAMES, Metrics
from vlmad_jax.report.table import markdown_grid, mean_of
from vlmad_jax.runtime.files import write_json


def pair_folders(names: Sequence[str], folders: Sequence[str]) -> dict[str, str | None]:
    """Return the folder of each test set, None where it is not given.

    Raises:
      InputError: A data set is unknown or given twice, or there are more or fewer folders than data sets.
    """
    for number, name in enumerate(names):
        if name not in DATASETS:
            raise InputError(f"--test: unknown data set {name!r}; choose from {', '.join(DATASETS)}")
        if name in names[:number]:
            raise InputError(f"--test: {name} is given twice; give each data set once")
    if folders and len(folders) != len(names):
        raise InputError(
            f"--test_data_dir has {len(folders)} folders for the {len(names)} data sets of --test; "
            "give one for each, or none and set VLMAD_JAX_DATA"
        )
    return dict(zip(names, [folder or None for folder in folders] or [None] * len(names), strict=True))


def test_folder(out: Path, name: str, names: Collection[str]) -> Path:
    """Return the folder of the results on a test set, one of `names`."""
    return out / "test" / name if len(names) > 1 else out / "test"


def write_matrix(out: Path, train: str, means: Mapping[str, Metrics]) -> str:
    """Write the mean metrics on each test set to `out`/transfer.json and return them as a table."""
    mean = mean_of(means)
    write_json(out / "transfer.json", {"train": train, "test": dict(means), "mean": mean})
    rows = [*means.items(), ("mean", mean)]
    cells = [[name, *(_cell(metrics[metric]) for metric in METRIC_NAMES)] for name, metrics in rows]
    headings = [f"{train} to", *(metric.replace("_", " ") for metric in METRIC_NAMES)]
    return markdown_grid([headings, *cells])


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
