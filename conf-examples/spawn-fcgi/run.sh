#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# eodata-proxy under spawn-fcgi, on a host without systemd.  It gives the
# listening socket on descriptor 0, where eodata-proxy looks for one.
#
# Each value can be set from outside; these are the defaults.

set -eu

program=${EODATA_PROXY:-/usr/sbin/eodata-proxy}
config=${EODATA_CONFIG:-/etc/eodata-proxy/eodata-proxy.conf}
# The same path stands in the front's configuration (fastcgi_pass).
socket=${EODATA_SOCKET:-/run/eodata-proxy/fcgi.sock}
pid_file=${EODATA_PID_FILE:-/run/eodata-proxy/eodata-proxy.pid}
# Who runs it, and whose group may open the socket: the front's.  Only root can
# change users; anybody else runs it as they are.
user=${EODATA_RUN_USER:-eodata-proxy}
front_group=${EODATA_FRONT_GROUP:-www-data}

"$program" --config "$config" --check-config

set --
if [ "$(id -u)" = 0 ]; then
	set -- -G "$front_group"
	if [ "$user" != root ]; then
		set -- "$@" -u "$user" -g "$user" -U "$user"
	fi
fi

# -n would stay in the foreground (for a supervisor).  No -F: that starts more
# masters; eodata-proxy makes its own processes (pool.workers).  -b: the default
# of 1024 waiting connections overflows in a burst, and then the front answers 502.
exec spawn-fcgi -s "$socket" -M 0660 -b 4096 -P "$pid_file" "$@" ${EODATA_SPAWN_OPTIONS:-} \
	-- "$program" --config "$config"
