"""What a run leaves behind: files, the table on the terminal, and images of anomaly maps."""

from vlmad_jax.report.maps import captioned, draw_map, enlarged, heat_colours, in_proportion, number
from vlmad_jax.report.published import Published, published
from vlmad_jax.report.scores import ScoreRow, read_scores_csv, write_scores_csv
from vlmad_jax.report.table import mean_of, metrics_table
from vlmad_jax.runtime.files import write_atomically, write_json

__all__ = [
    "Published",
    "ScoreRow",
    "captioned",
    "draw_map",
    "enlarged",
    "heat_colours",
    "in_proportion",
    "mean_of",
    "metrics_table",
    "number",
    "published",
    "read_scores_csv",
    "write_atomically",
    "write_json",
    "write_scores_csv",
]
