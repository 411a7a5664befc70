# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share; they source it. Works in the bash 3.2 of macOS too.

# Take the script's own flags, which come first: --dry-run, --module NAME (of `python -m jaxrec.NAME`, launch by
# default), and --NAME VALUE for every variable flag_NAME that the script has set. The rest is for the command.
take_flags() {
  dry_run=false
  module=launch
  local variable
  while [[ $# -gt 0 ]]; do
    variable=flag_${1#--}
    case $1 in
      --dry-run)
        dry_run=true
        shift
        continue
        ;;
      --help | -h)
        usage
        exit 0
        ;;
      --)
        shift
        break
        ;;
      --module) variable=module ;;
      --*[!a-z]*) break ;;
      --*) [[ -n ${!variable+set} ]] || break ;;
      *) break ;;
    esac
    [[ $# -gt 1 ]] || mistake "$1: no value"
    printf -v "$variable" '%s' "$2"
    shift 2
  done
  [[ $# -gt 0 ]] || mistake "no arguments for python -m jaxrec.$module; --help says how to call this"
  arguments=("$@")
}

# The comment at the head of the script, without its first line.
usage() {
  awk 'NR > 1 { if (!/^#( |$)/) exit; sub(/^# ?/, ""); print }' "$0"
}

mistake() {
  printf 'launch/%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 2
}

# Words of a command, quoted for a shell.
quoted() {
  printf '%q ' "$@"
}
