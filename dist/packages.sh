#!/usr/bin/env bash
# packages.sh [--with-clients | --for-tests | --for-slow-tests]: installs the Debian packages that a node needs, and those of
# the clients or of the test lanes on request.
# What is there already is left alone; when it may not install, it says the exact command and ends with 1.
set -euo pipefail

packages=(containerd runc containernetworking-plugins nftables iptables iproute2)
for_tests=(busybox-static ca-certificates curl e2fsprogs gcc git ipmitool jq libfaketime libnbd-bin make nbdkit openipmi openssl)
for_tests+=(procps python3-aiosmtpd python3-venv strace util-linux)
case ${1:-} in
  "") ;;
  --with-clients) packages+=(curl python3-venv) ;;
  --for-tests) packages+=("${for_tests[@]}") ;;
  --for-slow-tests) packages+=("${for_tests[@]}" dnsmasq-base ipxe-qemu qemu-system-x86 zstd) ;;
  *) echo "packages.sh: unknown flag $1: use --with-clients, --for-tests or --for-slow-tests" >&2 && exit 2 ;;
esac

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
