#!/usr/bin/env bash
# Measure the package on a GPU, within 8 minutes: differences from the reference numbers, the speed of scoring
# and training beside that of PyTorch, attention, and the time of each kernel. In a clone of the repository:
#
#     OUT=results/gpu docs/benchmark_gpu.sh
#
# It needs what `pip install -e '.[cuda]'` and `pip install torch` bring, and neither a network nor data sets.
# OUT/benchmark_gpu.jsonl and OUT/benchmark_gpu.md are complete after every step. Environment:
#   SECONDS_IN_ALL   the limit of the whole run (480); a step that does not fit any more is left out
#   STEPS            steps in place of all, as "name:seconds name:seconds"
#   SMALL=--small    small models, to rehearse the run on a CPU
#   PYTHON           the interpreter (python3)
set -u
cd "$(dirname "$0")/.."
OUT=${OUT:-results/gpu}
PYTHON=${PYTHON:-python3}
SECONDS_IN_ALL=${SECONDS_IN_ALL:-480}
# The most important first, each with the most seconds that it may take.
STEPS=${STEPS:-"machine:40 winclip_bfloat16:150 torch_winclip_bfloat16:60 anomalyclip_bfloat16:130
torch_anomalyclip_bfloat16:60 parity:150 attention:70 trace_winclip:60 trace_anomalyclip:60
choices_winclip:120 choices_anomalyclip:120 train:100 winclip_float32:60 anomalyclip_float32:60
against_torch_winclip_bfloat16:40 against_torch_anomalyclip_bfloat16:40 torch_compile_winclip:90
torch_compile_anomalyclip:90 torch_winclip_float32:40 torch_anomalyclip_float32:40"}
mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
JAX_COMPILATION_CACHE_DIR=$(mktemp -d) # new, so that compile times are true; traces then reuse programs
export JAX_COMPILATION_CACHE_DIR
trap 'rm -rf "$JAX_COMPILATION_CACHE_DIR"' EXIT
SECONDS=0

run() { # name, seconds
    timeout --kill-after=5 "$2" "$PYTHON" -m vlmad_jax.benchmark.accelerator "$1" --out="$OUT" ${SMALL:-} \
        2>> "$OUT/errors.log"
    local code=$?
    [ $code -eq 0 ] || echo "$1: ended with code $code after at most $2 s" | tee -a "$OUT/benchmark_gpu.log"
}

for step in $STEPS; do
    name=${step%%:*} limit=${step##*:} left=$((SECONDS_IN_ALL - SECONDS))
    if [ $left -lt 15 ]; then
        echo "$name: left out, $left s are left"
        continue
    fi
    [ "$limit" -le $left ] || limit=$left
    started=$SECONDS
    if [ "$name" = parity ]; then # nothing is timed, so all run together
        for method in clip winclip anomalyclip aprilgan; do
            run "parity_${method}_float32" "$limit" &
            run "parity_${method}_bfloat16" "$limit" &
        done
        wait
    else
        run "$name" "$limit"
    fi
    echo "== $name took $((SECONDS - started)) s, $SECONDS s in all" | tee -a "$OUT/benchmark_gpu.log"
done
cat "$OUT/benchmark_gpu.md"
