#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `make run`: the main job on a built-in host, each command shown before its output. Needs vsmmu in PATH.
set -eu

# What a user writes: accel=on and no values.
vm() {
    set -- "$@" qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults \
        -object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 \
        -device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on \
        -device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 \
        -device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0
    printf '\n$ %s\n\n' "$*"
    "$@"
}

printf '$ vsmmu show --host builtin:gb200\n\n'
vsmmu show --host builtin:gb200
vm vsmmu resolve --host builtin:gb200 --
vm vsmmu explain --host builtin:gb200 --
vm vsmmu check --host builtin:gb200 --
