# Sourced by the scripts beside it: where things are. Sets HERE, BIN and the versions, which go.mod alone decides.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=${MUSTER_CACHE:-$HOME/.cache/muster}/upstream/bin
KUBERNETES=$(sed -nE 's#^(require|\t) ?k8s\.io/kubernetes (v[0-9.]+).*#\2#p' "$HERE/go.mod")

# fail TEXT: says what is wrong and what to do, and ends.
fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# need PROGRAM PACKAGE: refuses at once when a program is missing.
need() {
  command -v "$1" > /dev/null || fail "the program $1 is missing: apt-get install $2"
}

[ -n "$KUBERNETES" ] || fail "$HERE/go.mod requires no version of k8s.io/kubernetes"
