#!/usr/bin/env bash
# packages.sh [--for-tests]: installs the Debian packages that a node needs, and those of the test lanes on request.
# Installs nothing that is there already; when it may not install, it says the exact command and ends with 1.
set -euo pipefail

packages=(containerd runc containernetworking-plugins nftables iptables)
[ "${1:-}" != --for-tests ] || packages+=(ca-certificates curl gcc git jq make openssl python3-venv)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "missing packages: ${missing[*]}"
command="apt-get update && apt-get install --yes --no-install-recommends ${missing[*]}"
if [ "$(id -u)" != 0 ]; then
  echo "installing them needs root; run: sudo sh -c '$command'" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
sh -c "$command" < /dev/null || {
  echo "the packages could not be installed; mend what apt says above, then run: $command" >&2
  exit 1
}
