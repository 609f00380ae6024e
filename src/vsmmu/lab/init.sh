#!/usr/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of the lab guest: a writable root over the read-only image, then the agent (or a prompt).
export PATH=/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
export HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" PYTHONPATH=/lab/src

if [ ! -e /overlay/root ]; then
	mount -t tmpfs tmpfs /overlay
	mkdir /overlay/root /overlay/upper /overlay/work
	mount -t overlay -o lowerdir=/,upperdir=/overlay/upper,workdir=/overlay/work overlay /overlay/root
	# The kernel has mounted devtmpfs on /dev already.
	mount --move /dev /overlay/root/dev
	cd /overlay/root || exit
	pivot_root . overlay
	exec chroot . /init
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for dir in /tmp /run /dev/shm; do mount -t tmpfs tmpfs "$dir"; done
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
[ -e /var/run ] || ln -s /run /var/run
ip link set lo up
clock=$(sed -n 's/.* lab\.clock=\([0-9]*\).*/\1/p' /proc/cmdline)
[ -n "$clock" ] && date -s "@$clock" >/dev/null
hostname lab
echo 3 >/proc/sys/kernel/printk

# What this start brings along: the agent, the project's sources, its commands.
tar -x -f /dev/vdb -C /lab

cd /root || exit
case " $(cat /proc/cmdline) " in
*" lab.shell "*)
	setsid sh -c 'exec sh -l </dev/ttyAMA0 >/dev/ttyAMA0 2>&1'
	poweroff -f
	;;
*) exec python3 -S -E /lab/agent.py ;;
esac
