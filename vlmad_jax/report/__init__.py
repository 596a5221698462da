"""Results of runs: scores as CSV, tables, figures, reports, and drawings of anomaly maps."""

from vlmad_jax.report.maps import (
    add_caption,
    draw_map,
    enlarge,
    format_number,
    heat_colours,
    restore_proportions,
)
from vlmad_jax.report.published import Published, published
from vlmad_jax.report.scores import ScoreRow, read_scores_csv, write_scores_csv
from vlmad_jax.report.table import WHOLE_SET, mean_of, metrics_table, undefined_lines

__all__ = [
    "WHOLE_SET",
    "Published",
    "ScoreRow",
    "add_caption",
    "draw_map",
    "enlarge",
    "format_number",
    "heat_colours",
    "mean_of",
    "metrics_table",
    "published",
    "read_scores_csv",
    "restore_proportions",
    "undefined_lines",
    "write_scores_csv",
]
