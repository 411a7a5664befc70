#!/usr/bin/env bash
# One node of eight NVIDIA A100, driven by one process:
#
#   launch/a100x8.sh [--dry-run] [--module NAME] ARGUMENT ...
#   launch/a100x8.sh --config configs/lmmrec_steam.py --data.path data/steam
#
# --dry-run prints the environment and the command. --module precompute runs `python -m jaxrec.precompute`.
# PYTHON names the interpreter. docs/launching.md says what to change for other machines.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/arguments.sh
. "$here/arguments.sh"
take_flags "$@"

expected=8
command=("${PYTHON:-python}" -m "jaxrec.$module" "${arguments[@]}")
if $dry_run; then
  exec "$here/environment.sh" --dry-run gpu "${command[@]}"
fi
command -v nvidia-smi >/dev/null || mistake "nvidia-smi is not here, so neither is an NVIDIA driver"
found=$(nvidia-smi --list-gpus | wc -l)
[[ $found -eq $expected ]] || mistake "found $found GPUs, this is for $expected; launch/environment.sh gpu takes any number"
exec "$here/environment.sh" gpu "${command[@]}"
