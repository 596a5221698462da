#!/usr/bin/env bash
# Pretrain on rendered pairs and photographs with a teacher, and in three runs that each leave one of these out.
# In a clone:
#
#     pip install -e '.[efficientnet]'    on a GPU '.[cuda,efficientnet]'
#     python docs/photographs.py photographs
#     docs/pretrain_photographs.sh draw     draws the pairs and crops, with the teacher's features of the crops
#     docs/pretrain_photographs.sh train    trains the runs; the same command resumes them
#
# The runs are trained at the same time. Their weights are in OUT/NAME/weights, the errors of predicting the
# teacher on held-out photographs in OUT/NAME/held_out.json. Environment:
#   RUNS      the runs to make, separated by spaces (all no_teacher no_photographs no_rendered)
#   OUT       the folder of the runs (results/photographs)
#   START     the initial weights (weights/tiny)
#   PHOTOGRAPHS  the folder that docs/photographs.py made (photographs)
#   SECONDS_IN_ALL  after so many seconds of `train` the runs save a checkpoint and stop (36000)
#   FLAGS     further flags for all runs, which replace those below
#   WORKERS   processes that draw images, in all (the number of cores)
#   XLA_CLIENT_MEM_FRACTION  the share of the GPU's memory for each run (0.9 divided by the number of runs)
#   PYTHON    the interpreter (python3)
set -u
cd "$(dirname "$0")/.."
OUT=${OUT:-results/photographs}
PYTHON=${PYTHON:-python3}
SECONDS_IN_ALL=${SECONDS_IN_ALL:-36000}
WORKERS=${WORKERS:-$(nproc)}
RUNS=${RUNS:-all no_teacher no_photographs no_rendered}
PHOTOGRAPHS=${PHOTOGRAPHS:-photographs}
export XLA_PYTHON_CLIENT_PREALLOCATE=false OPENBLAS_NUM_THREADS=1 # several processes share the GPU and cores
[ "${1:-}" = draw ] || [ "${1:-}" = train ] || {
    echo "usage: docs/pretrain_photographs.sh draw|train" >&2
    exit 2
}

start="--start=${START:-weights/tiny} --logit_scale=400 --image_size=256 --dtype=bfloat16 --second_normal_image
    --pairs=32 --pool=4096 --muon_learning_rate=1.2e-3 --learning_rate=4e-4 --schedule_steps=1000"
teacher="--teacher=efficientnet-lite2 --crops=8192 --crops_per_pair=2 --held_out=$PHOTOGRAPHS/held_out/objects"
photographs="--photographs=$PHOTOGRAPHS/train/objects,$PHOTOGRAPHS/train/surfaces"
declare -A runs=(
    [all]="$teacher --rendered_crops=0.3 $photographs --photographed_pairs=0.5"
    [no_teacher]="$photographs --photographed_pairs=0.5"
    [no_photographs]="$teacher --rendered_crops=1"
    [no_rendered]="$teacher --rendered_crops=0 $photographs --photographed_pairs=1"
)

[ -n "${RUNS// /}" ] || {
    echo "error: RUNS is empty; give some of ${!runs[*]}" >&2
    exit 2
}
for name in $RUNS; do
    [ -v "runs[$name]" ] || {
        echo "error: RUNS has no $name; give some of ${!runs[*]}" >&2
        exit 2
    }
done

run() { # name, workers, further flags
    local name=$1 workers=$2
    shift 2
    # shellcheck disable=SC2086 # flags are separated by spaces
    ${limit:-} "$PYTHON" -m experiments.pretrain --out="$OUT/$name" --workers="$workers" \
        $start ${runs[$name]} ${FLAGS:-} "$@"
}

if [ "$1" = draw ]; then
    for name in $RUNS; do
        run "$name" "$WORKERS" --draw || exit
    done
    exit
fi
limit="timeout --signal=TERM --preserve-status $SECONDS_IN_ALL" # a run that was stopped ends with 0
count=$(wc -w <<< "$RUNS")
share=$(((WORKERS + count - 1) / count))
[ -n "${XLA_CLIENT_MEM_FRACTION:-}${XLA_PYTHON_CLIENT_MEM_FRACTION:-}" ] ||
    export XLA_CLIENT_MEM_FRACTION="$(printf 0.%02d $((90 / count)))"
for name in $RUNS; do
    run "$name" "$share" > "$OUT/$name.out" 2>&1 &
    waiting+=($!)
done
code=0
for process in "${waiting[@]}"; do wait "$process" || code=$?; done
for name in $RUNS; do
    echo "== $name"
    tr '\r' '\n' < "$OUT/$name.out" | tail -n 2
    cat "$OUT/$name/held_out.json" 2> /dev/null
done
exit "$code"
