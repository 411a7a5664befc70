#!/usr/bin/env bash
# Several processes on this machine, each with one device, as they would run on several machines:
#
#   launch/local.sh N [--dry-run] [--module NAME] [--accelerator gpu|cpu] ARGUMENT ...
#   launch/local.sh 2 --config configs/lmmrec_steam.py --workdir runs/two
#
# Of N GPUs each process takes one; where there are fewer, each simulates on the CPU. When one fails, the others stop.
# Ctrl-C asks all to save and stop, a second one ends them at once. --dry-run prints what would run. PYTHON names the
# interpreter.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/arguments.sh
. "$here/arguments.sh"
count=${1-}
case $count in
  --help | -h)
    usage
    exit 0
    ;;
  '' | *[!0-9]* | 0*) mistake "found '$count', allowed: a number of processes from 1, before everything else" ;;
esac
shift
flag_accelerator=
take_flags "$@"

gpus=0
if command -v nvidia-smi >/dev/null; then
  gpus=$(nvidia-smi --list-gpus 2>/dev/null | wc -l)
fi
if [[ -z $flag_accelerator ]]; then
  flag_accelerator=cpu
  [[ $gpus -lt $count ]] || flag_accelerator=gpu
fi
command=("$here/environment.sh")
if $dry_run; then
  command+=(--dry-run)
fi
command+=("$flag_accelerator" "${PYTHON:-python}" -m "jaxrec.$module" "${arguments[@]}")
export JAXREC_NUM_PROCESSES=$count JAXREC_COORDINATOR=127.0.0.1:$((20000 + 2 * ($$ % 6000)))

processes=()
statuses=()
asked=0
# shellcheck disable=SC2329 # the traps call it
stop() { # STATUS
  wanted=$1
  asked=$((asked + 1))
  [[ ${#processes[@]} -gt 0 ]] || exit "$1"
  if [[ $asked -eq 1 ]]; then
    kill -TERM "${processes[@]}" 2>/dev/null || true
  else
    kill -KILL "${processes[@]}" 2>/dev/null || true
  fi
}
wanted=
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop 129' HUP

# Each process is the head of a group of its own, or Ctrl-C in a terminal would reach it beside what the trap sends, and
# of two requests the second ends a run at once.
set -m
for ((process = 0; process < count; process++)); do
  export JAXREC_PROCESS_ID=$process
  if [[ $flag_accelerator == gpu ]]; then
    export JAXREC_LOCAL_DEVICES=$process
  fi
  if $dry_run; then
    printf 'export JAXREC_COORDINATOR=%s JAXREC_NUM_PROCESSES=%s JAXREC_PROCESS_ID=%s' \
      "$JAXREC_COORDINATOR" "$JAXREC_NUM_PROCESSES" "$process"
    printf '%s\n' "${JAXREC_LOCAL_DEVICES:+ JAXREC_LOCAL_DEVICES=$process}"
    "${command[@]}"
    continue
  fi
  "${command[@]}" &
  processes+=($!)
done
set +m

# The status of the run: of the first that failed by itself. One that only stopped because another was lost has 3.
status=0
deadline=
ended_here=false
exec 3>&2 2>/dev/null # where bash tells of every process that a signal ends
while [[ ${#statuses[@]} -lt ${#processes[@]} ]]; do
  for process in "${!processes[@]}"; do
    if [[ -n ${statuses[process]-} ]] || kill -0 "${processes[process]}" 2>/dev/null; then
      continue
    fi
    one=0
    wait "${processes[process]}" || one=$?
    statuses[process]=$one
    if [[ $one -gt 128 && $one -ne 130 && $one -ne 143 && -z $wanted ]] && ! $ended_here; then
      printf 'launch/local.sh: process %s was ended by signal %s\n' "$process" $((one - 128)) >&3
    fi
    if [[ $one -ne 0 && ($status -eq 0 || $status -eq 3) ]]; then
      status=$one
      # They notice by themselves; who does not is ended.
      deadline=${deadline:-$((SECONDS + 10))}
    fi
  done
  if [[ -n $deadline && $SECONDS -ge $deadline ]]; then
    ended_here=true
    kill -KILL "${processes[@]}" 2>/dev/null || true
    deadline=$((SECONDS + 10))
  fi
  sleep 0.2 || true
done
exit "${wanted:-$status}"
