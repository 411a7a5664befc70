#!/usr/bin/env bash
# A SLURM job of one process for each GPU, submitted from the checkout:
#
#   sbatch [OPTIONS OF sbatch] launch/slurm.sh [--module NAME] ARGUMENT ...
#   sbatch --nodes 4 --partition gpu launch/slurm.sh --config configs/lmmrec_steam.py --workdir /shared/runs/steam
#   launch/slurm.sh --dry-run ARGUMENT ...      prints what would run, outside of SLURM too
#
# Options of sbatch go before the lines below. The work directory must lie where every node sees it. The processes find
# each other by what SLURM tells them. PYTHON names the interpreter, JAXREC_LAUNCH this folder if it is not ./launch.
#SBATCH --job-name=jaxrec
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --output=jaxrec-%j.log
#SBATCH --open-mode=append
# Three minutes before the time is up every process is asked to save and stop.
#SBATCH --signal=TERM@180
set -euo pipefail
# SLURM runs a copy of this file from elsewhere, so the folder is told by where the job was submitted.
here=${JAXREC_LAUNCH:-${SLURM_SUBMIT_DIR:-$PWD}/launch}
if [[ ! -f $here/arguments.sh ]]; then
  printf 'launch/slurm.sh: %s is not the launch folder; submit from the checkout or set JAXREC_LAUNCH\n' "$here" >&2
  exit 2
fi
# shellcheck source=launch/arguments.sh
. "$here/arguments.sh"
take_flags "$@"

# One process has one GPU, but sees all of its node: JAX picks by the local number of the process.
step=(srun --kill-on-bad-exit=1 --gpu-bind=none "--cpus-per-task=${SLURM_CPUS_PER_TASK:-8}")
command=("${PYTHON:-python}" -m "jaxrec.$module" "${arguments[@]}")
if $dry_run; then
  sed -n 's/^#SBATCH /# sbatch /p' "$here/slurm.sh"
  "$here/environment.sh" --dry-run gpu "${step[@]}" "${command[@]}"
  exit 0
fi
[[ -n ${SLURM_JOB_ID-} ]] || mistake "not in a SLURM job; submit it: sbatch launch/slurm.sh ..."
exec "${step[@]}" "$here/environment.sh" gpu "${command[@]}"
