#!/bin/bash
# An array of workers over a queue on shared storage: sbatch --array=1-32 deploy/slurm_worker.sh fq:///shared/queue cpu /shared
# and one or two of class big, for the merge tree:    sbatch --mem=32G deploy/slurm_worker.sh fq:///shared/queue big /shared
#SBATCH --job-name=emseg
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@60
set -euo pipefail
queue=${1:?a queue, fq://folder or sqs://name}
class=${2:-cpu}
root=${3:+--root=$3} # the workers touch runs and layers below this folder or URL only
export OMP_NUM_THREADS=1
emseg worker "$queue" --class "$class" ${root:+"$root"} --stop-when-empty-s 600 &
child=$!
trap 'kill -TERM "$child"' TERM # hand the task back before the limit
code=0
wait "$child" || code=$?
while kill -0 "$child" 2>/dev/null; do # the trap ended the first wait
  code=0
  wait "$child" || code=$?
done
exit "$code"
