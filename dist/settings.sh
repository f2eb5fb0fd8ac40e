# Sourced by up, demo and down beside it: one set of names for the three.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DATA=${MUSTER_DATA:-/var/lib/muster}
LISTEN=${MUSTER_LISTEN:-127.0.0.1:6443}
LOG=${MUSTER_LOG:-/var/log/muster.log}
MUSTER=${CARGO_TARGET_DIR:-target}/release/muster
MACHINE=${MUSTER_MACHINE:-$(hostname | tr '[:upper:]' '[:lower:]')}
export KUBECONFIG=$DATA/kubeconfig

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*"; }

# fail TEXT…: what is wrong and what to do; each argument a line.
fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# wait_for WHAT SECONDS COMMAND…: until the command succeeds.
wait_for() {
  local what=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" > /dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "no $what in time; the log is $LOG, and $MUSTER status says what is missing"
    sleep 0.05
  done
}

# field KIND NAME PATH: one field of an object.
field() { kubectl get "$1" "$2" --output "jsonpath={$3}" 2> /dev/null; }

machine_is() { [ "$(field machine "$MACHINE" .status.phase)" = "$1" ]; }
