#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs Debian packages, as root, and waits while another apt or dpkg holds one of the locks that this needs.
#
# usage: sh apt-install.sh PACKAGE...        (VSMMU_APT_PATIENCE: the seconds to wait in all, 300 by default)
#
# apt's own DPkg::Lock::Timeout waits for the locks of dpkg, but not for those of the package lists and the downloads.
set -u

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
patience=${VSMMU_APT_PATIENCE:-300}
waited=0
output=$(mktemp) || exit 1
trap 'rm -f "$output"' EXIT

# Runs a command until it meets no held lock; its output is shown once, of the last time.
patiently() {
    told=
    while :; do
        "$@" >"$output" 2>&1 </dev/null
        status=$?
        lock=$(grep -m 1 'Could not get lock' "$output")
        if [ "$status" = 0 ]; then
            cat "$output"
            return
        elif [ -z "$lock" ] || [ "$waited" -ge "$patience" ]; then
            cat "$output" >&2
            [ -z "$lock" ] || echo "Waited $waited s for it. End the other program, or set VSMMU_APT_PATIENCE." >&2
            exit "$status"
        fi
        [ -n "$told" ] || echo "Waiting up to $((patience - waited)) s: ${lock#E: }" >&2
        told=yes
        sleep 1
        waited=$((waited + 1))
    done
}

patiently apt-get update -q
patiently apt-get install -q -y --no-install-recommends "$@"
