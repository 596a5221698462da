"""One run that says how fast and how exact the methods are on an accelerator, in steps of a few seconds each.

`docs/benchmark_gpu.sh` calls the steps, each in its own process with its own time limit, the most important
first. Every step appends its results to `benchmark_gpu.jsonl` as they come, and `benchmark_gpu.md` holds the
same as tables, so that a run that is cut short loses nothing.
"""
