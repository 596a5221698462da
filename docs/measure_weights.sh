#!/usr/bin/env bash
# Measure the figures of README, weights/README.md and docs/results.md that depend on the bundled weights, and
# the accuracies of docs/pretraining.md, the most important first. In a clone, with
# `pip install -e '.[elpv,textures]'`:
#
#     docs/measure_weights.sh
#
# The output of each command is in OUT/NAME.txt, and a command whose output is there is not run again, so that
# the script can be stopped at any time. OUT belongs to one model. Environment:
#   OUT      the folder of the outputs (results/measured)
#   WEIGHTS  the model (weights/tiny). Learned prompts and projections are trained for it and stay in OUT/runs
#   PYTHON   the interpreter (python3)
set -u
cd "$(dirname "$0")/.."
OUT=${OUT:-results/measured}
WEIGHTS=${WEIGHTS:-weights/tiny}
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT"
failed=0
digest=$(cat "$WEIGHTS"/*.safetensors "$WEIGHTS"/config.json | sha256sum)
[ -e "$OUT/weights.txt" ] || echo "$digest" > "$OUT/weights.txt"
[ "$digest" = "$(cat "$OUT/weights.txt")" ] || {
    echo "error: $OUT has figures of another model than $WEIGHTS; give another OUT" >&2
    exit 1
}

measure() { # name, command of experiments, its flags
    local name=$1 command=$2
    shift 2
    if [ -e "$OUT/$name.txt" ]; then
        echo "$name: is in $OUT"
        return
    fi
    echo "$name: python -m experiments.$command $*"
    local started=$SECONDS
    if "$PYTHON" -m "experiments.$command" --weights="$WEIGHTS" --out="$OUT/runs/$name" "$@" \
        > "$OUT/$name.part"; then
        echo "took $((SECONDS - started)) s" >> "$OUT/$name.part"
        mv "$OUT/$name.part" "$OUT/$name.txt"
    else
        failed=1
    fi
}

learn() { # method, flags
    local method=$1
    shift
    measure "train_$method" train --method="$method" --dataset=synthetic_train "$@"
}

learn anomalyclip --cache_features --dpam_layers=1 --feature_layers=3,4
learn aprilgan --cache_features
learn coop --cache_features
learn mrad --epochs=0
prompts=anomalyclip=$OUT/runs/train_anomalyclip/params # the hybrid takes them too
params=$prompts,aprilgan=$OUT/runs/train_aprilgan/params,coop=$OUT/runs/train_coop/params
all=winclip,anomalyclip,aprilgan,coop,hybrid,patchcore,padim,spade,cutpaste,autoencoder,anomalydino,subspacead

sizes=144,176,208,240
for dataset in synthetic elpv textures; do
    measure "zero_shot_$dataset" zero_shot --method=winclip --dataset=$dataset
    measure "few_shot_$dataset" few_shot --method=winclip --shots=4 --dataset=$dataset
done
measure patchcore_elpv compare --methods=patchcore --dataset=elpv --shots=4,16 --seeds=0,1,2
for dataset in synthetic elpv; do
    measure "all_$dataset" compare --methods=$all --dataset=$dataset --shots=0,4 --seeds=0,1,2 --params="$params"
done
features=anomalydino,subspacead,patchcore,padim,spade
measure features_textures compare --methods=$features --dataset=textures --shots=4 --seeds=0,1,2
for dataset in synthetic elpv textures; do
    measure "sizes_zero_$dataset" zero_shot --method=winclip --multi_scale_sizes=$sizes --dataset=$dataset
    measure "sizes_few_$dataset" few_shot --method=winclip --shots=4 --multi_scale_sizes=$sizes --dataset=$dataset
done
for method in anomalyclip aprilgan; do
    measure "textures_$method" zero_shot --method=$method --params="$OUT/runs/train_$method/params" --dataset=textures
done
for dataset in synthetic textures; do
    measure "batched_$dataset" compare --methods=musc,anomalydino,subspacead --shots=batched --dataset=$dataset
done
measure features_elpv compare --methods=anomalydino,subspacead --dataset=elpv --shots=4 --seeds=0,1,2
measure transfer transfer --method=anomalyclip --train=synthetic --test=elpv --dpam_layers=1 --feature_layers=3,4 \
    --cache_features
for dataset in synthetic textures elpv; do
    measure "mrad_$dataset" compare --methods=mrad --params="mrad=$OUT/runs/train_mrad/params" --shots=0 \
        --dataset=$dataset
done
measure all_synthetic_train compare --methods=winclip,anomalyclip,hybrid --dataset=synthetic_train --shots=0 \
    --params="$prompts"
alarms() { # method, data set, flags
    local method=$1 dataset=$2
    shift 2
    measure "alarms_${method}_$dataset" false_alarms --method="$method" --dataset="$dataset" "$@"
}
for dataset in synthetic textures elpv; do alarms patchcore $dataset --shots=16 --seeds=0; done
for dataset in textures elpv; do alarms padim $dataset --shots=16 --seeds=0; done
alarms winclip textures --shots=16 --seeds=0
alarms winclip elpv --shots=4,16,64 --seeds=0,1,2
exit $failed
