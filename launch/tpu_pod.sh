#!/usr/bin/env bash
# A Cloud TPU slice: the same command on every host of it, over gcloud.
#
#   launch/tpu_pod.sh --name TPU --zone ZONE [--project PROJECT] [--folder DIR] [--python PATH] [--dry-run]
#                     [--module NAME] ARGUMENT ...
#   launch/tpu_pod.sh --name pod --zone us-central2-b --config configs/lmmrec_steam.py --workdir /mnt/runs/steam
#
# --folder is the checkout on the hosts (jaxrec), --python their interpreter (.venv/bin/python). The work directory must
# lie where every host sees it. The hosts find each other by what the TPU tells them. --dry-run prints the commands.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/arguments.sh
. "$here/arguments.sh"
flag_name='' flag_zone='' flag_project='' flag_folder=jaxrec flag_python=.venv/bin/python
take_flags "$@"
[[ -n $flag_name ]] || mistake "--name: missing, allowed: the name of a TPU"
[[ -n $flag_zone ]] || mistake "--zone: missing, allowed: the zone of the TPU"

words=(bash launch/environment.sh tpu "$flag_python" -m "jaxrec.$module" "${arguments[@]}")
remote="cd $(quoted "$flag_folder")&& $(quoted "${words[@]}")"
gcloud=(gcloud compute tpus tpu-vm ssh "$flag_name" "--zone=$flag_zone")
[[ -z $flag_project ]] || gcloud+=("--project=$flag_project")
gcloud+=(--worker=all "--command=$remote")
if $dry_run; then
  printf '# on this machine\n'
  quoted "${gcloud[@]}"
  printf '\n# which on every host is\n'
  "$here/environment.sh" --dry-run tpu "${words[@]:3}"
  exit 0
fi
command -v gcloud >/dev/null || mistake "gcloud is not here; install the Google Cloud CLI"
exec "${gcloud[@]}"
