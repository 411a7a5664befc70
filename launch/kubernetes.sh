#!/usr/bin/env bash
# Kubernetes with the JobSet controller: fills in kubernetes_jobset.yaml and applies it.
#
#   launch/kubernetes.sh --image IMAGE [--name NAME] [--nodes N] [--gpus N] [--claim CLAIM] [--restarts N] [--dry-run]
#                        [--module NAME] ARGUMENT ...
#   launch/kubernetes.sh --image example.org/jaxrec:1 --nodes 4 --config configs/lmmrec_steam.py --workdir /data/runs/a
#
# IMAGE holds the checkout in /jaxrec, CLAIM is a volume that every node can write to; it is mounted at /data, where
# the work directory must lie. --dry-run prints what would be applied, for kubectl apply -f - to read.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/arguments.sh
. "$here/arguments.sh"
flag_image='' flag_name=jaxrec flag_nodes=2 flag_gpus=8 flag_claim=jaxrec-data flag_restarts=10
take_flags "$@"
[[ -n $flag_image ]] || mistake "--image: missing, allowed: a container image that holds the checkout in /jaxrec"
for flag in nodes gpus restarts; do
  variable=flag_$flag
  [[ ${!variable} =~ ^[1-9][0-9]*$ ]] || mistake "--$flag: found '${!variable}', allowed: 1 or more"
done

text() { # a string of YAML, which a string of JSON is
  local value=${1//\\/\\\\}
  printf '"%s"' "${value//\"/\\\"}"
}

list() { # WORD ... as a list of YAML
  local separator='' word
  printf '['
  for word in "$@"; do
    printf '%s%s' "$separator" "$(text "$word")"
    separator=', '
  done
  printf ']'
}

filled() {
  local line value
  while IFS= read -r line; do
    case $line in
      *' # --name') value=$(text "$flag_name") ;;
      *' # --image') value=$(text "$flag_image") ;;
      *' # --claim') value=$(text "$flag_claim") ;;
      *' # --nodes') value=$flag_nodes ;;
      *' # --gpus') value=$flag_gpus ;;
      *' # --restarts') value=$flag_restarts ;;
      *' # --processes') value=$(text "$flag_nodes") ;;
      *' # --command') value=$(list bash launch/environment.sh gpu python -m "jaxrec.$module") ;;
      *' # --args') value=$(list "${arguments[@]}") ;;
      *)
        printf '%s\n' "$line"
        continue
        ;;
    esac
    printf '%s: %s # --%s\n' "${line%%: *}" "$value" "${line##* # --}"
  done <"$here/kubernetes_jobset.yaml"
}

if $dry_run; then
  printf '# kubectl apply -f -\n'
  filled
  exit 0
fi
command -v kubectl >/dev/null || mistake "kubectl is not here"
filled | kubectl apply -f -
