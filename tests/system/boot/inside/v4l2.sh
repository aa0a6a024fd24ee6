#!/bin/sh
# The first process of a machine without systemd: a camera by `vivid`, the agent's own look at it, and power off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
modprobe vivid n_devs=1
until [ -c /dev/video0 ]; do sleep 0.2; done
renzheng self-test --settings /srv/renzheng.toml --only camera --only exposure --json
v4l2-ctl -d /dev/video0 -c gain_automatic=0
renzheng self-test --settings /srv/renzheng.toml --only exposure --json
PYTHONPATH=/opt/renzheng/lib/python3.13:/opt/renzheng/lib/common python3 /srv/v4l2.py
echo o >/proc/sysrq-trigger
sleep 60
