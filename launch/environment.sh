#!/usr/bin/env bash
# The environment of an accelerator, and then the command, once on every host:
#
#   launch/environment.sh [--dry-run] gpu|tpu|cpu COMMAND ...
#
# --dry-run prints both as a script instead. A value that is set already is kept, but for JAX_PLATFORMS: a run that was
# meant for an accelerator must not end up on the CPU unnoticed. The flag against the slow scatter of jaxlib 0.10.2 to
# 0.11.0 is not here: jaxrec sets it itself where that jaxlib meets a GPU (jaxrec/compiler_flags.py).
set -euo pipefail

names=()

set_always() { # NAME VALUE
  export "$1=$2"
  names+=("$1")
}

set_unless_set() { # NAME VALUE
  set_always "$1" "${!1-$2}"
}

add_xla_flag() { # --FLAG=VALUE
  case " ${XLA_FLAGS-}" in
    *" ${1%%=*}="*) ;; # the user's own
    *) set_always XLA_FLAGS "${XLA_FLAGS:+$XLA_FLAGS }$1" ;;
  esac
}

drop_simulated_devices() {
  unset JAX_NUM_CPU_DEVICES
  local flag kept=()
  for flag in ${XLA_FLAGS-}; do
    case $flag in --xla_force_host_platform_device_count=*) ;; *) kept+=("$flag") ;; esac
  done
  if [[ ${#kept[@]} -gt 0 ]]; then
    set_always XLA_FLAGS "${kept[*]}"
  else
    unset XLA_FLAGS
  fi
}

# Machines of a Cloud TPU slice are told of each other by the metadata server; on GKE by variables, which jaxrec reads.
join_tpu_slice() {
  [[ -z ${JAXREC_COORDINATOR-}${TPU_WORKER_HOSTNAMES-} ]] || return 0
  if $dry_run; then
    printf '# JAXREC_COORDINATOR, JAXREC_NUM_PROCESSES and JAXREC_PROCESS_ID from the metadata server of the machine\n'
    return
  fi
  local workers number hosts
  if ! workers=$(metadata worker-network-endpoints) || ! number=$(metadata agent-worker-number); then
    printf 'launch/environment.sh: no metadata server says of a slice, so this machine runs alone\n' >&2
    return
  fi
  # HOST,HOST or, of older slices, NAME:ID:HOST,NAME:ID:HOST
  IFS=, read -ra hosts <<<"$workers"
  [[ ${#hosts[@]} -gt 1 ]] || return 0
  set_always JAXREC_COORDINATOR "${hosts[0]##*:}:8482"
  set_always JAXREC_NUM_PROCESSES "${#hosts[@]}"
  set_always JAXREC_PROCESS_ID "$number"
}

metadata() { # ATTRIBUTE
  local address=http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1
  curl --silent --fail --max-time 10 --header 'Metadata-Flavor: Google' "$address" 2>/dev/null
}

mistake() {
  printf 'launch/environment.sh: %s\n' "$1" >&2
  exit 2
}

dry_run=false
if [[ ${1-} == --dry-run ]]; then
  dry_run=true
  shift
fi
accelerator=${1-}
shift || true
[[ $# -gt 0 ]] || mistake "no command, allowed: [--dry-run] gpu|tpu|cpu COMMAND ..."

drop_simulated_devices
case $accelerator in
  gpu)
    set_always JAX_PLATFORMS cuda,cpu
    # JAX takes 0.75 by default and leaves the rest unused.
    set_unless_set XLA_PYTHON_CLIENT_MEM_FRACTION 0.9
    # Lets what devices tell each other run beside what they compute.
    add_xla_flag --xla_gpu_enable_latency_hiding_scheduler=true
    # NCCL says nothing by default, not even why it failed.
    set_unless_set NCCL_DEBUG WARN
    ;;
  tpu)
    set_always JAX_PLATFORMS tpu,cpu
    join_tpu_slice
    ;;
  cpu) set_always JAX_PLATFORMS cpu ;;
  *) mistake "found '$accelerator', allowed: gpu, tpu, cpu" ;;
esac

if $dry_run; then
  printf 'unset JAX_NUM_CPU_DEVICES XLA_FLAGS\n'
  for name in $(printf '%s\n' "${names[@]}" | sort -u); do
    printf 'export %s=%q\n' "$name" "${!name}"
  done
  printf '%q ' "$@"
  printf '\n'
else
  exec "$@"
fi
