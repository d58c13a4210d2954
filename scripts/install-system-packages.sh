#!/bin/sh
# Installs the Debian packages that `npm run test:system` needs and that are missing. Needs root, as those tests do.
set -eu

if [ "$(id -u)" -ne 0 ]; then
  echo 'npm run test:system needs root: it switches users, mounts file systems and installs Debian packages.' >&2
  echo 'Run it in a container or a virtual machine; npm test needs no root.' >&2
  exit 1
fi

missing=''
need() { # PACKAGE COMMAND...: the package is missing when the command fails
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}
need curl curl --version
need git git --version
need procps ps --version
need util-linux unshare --version
need chromium chromium --version
need nginx nginx -v
need openssl openssl version
need systemd systemd-analyze --version
need libfaketime dpkg -L libfaketime
need python3-venv python3 -c 'import venv, ensurepip'

[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || {
  echo "npm run test:system needs these Debian packages, and there is no apt-get to install them:$missing" >&2
  exit 1
}
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
# Nothing that is installed is started: the tests start what they need, on ports of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq </dev/null
# shellcheck disable=SC2086  # one word for each package
apt-get install -y -qq --no-install-recommends $missing </dev/null
