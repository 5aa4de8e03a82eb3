#!/bin/sh
# Stands in for systemd on the hosts of these tests, which are no machines of their own: starts what a unit starts, as its
# user and with its environment and capability, and stops it. What else the unit keeps it from is not done here.
set -eu
unit=/etc/systemd/system/sotto.service

# What the unit and its drop-ins have of a setting.
value() {
  cat "$unit" "$unit".d/*.conf 2>/dev/null | sed -n "s/^$1=//p" | tr '\n' ' '
}

stop() {
  pid=$(cat "/run/$1.pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
}

start() {
  case $1 in
  sotto)
    user=$(value User)
    # shellcheck disable=SC2086 # a unit may name several
    install -d -m 0700 -o $user -g $user "/run/$(value RuntimeDirectory | tr -d ' ')"
    eval "set -- $(value Environment) $(value ExecStart)"
    port='-all,+net_bind_service'
    set -- setpriv --reuid=$user --regid=$user --init-groups --inh-caps=$port --ambient-caps=$port env "$@"
    name=sotto
    ;;
  tailscaled)
    set -a
    . /etc/default/tailscaled
    set +a
    set -- tailscaled --state=/var/lib/tailscale/tailscaled.state --tun=tailscale0 --port=0 --no-logs-no-support
    name=tailscaled
    ;;
  esac
  umask 077
  setsid "$@" > "/var/log/$name.log" 2>&1 < /dev/null &
  echo $! > "/run/$name.pid"
  umask 022
  if [ "$name" = tailscaled ]; then
    until tailscale status --json > /dev/null 2>&1; do sleep 0.1; done
  fi
}

case $* in
daemon-reload) ;;
'enable --now sotto' | 'start sotto') start sotto ;;
'stop sotto') stop sotto ;;
'restart sotto') stop sotto && start sotto ;;
'restart tailscaled') stop tailscaled && start tailscaled ;;
*) echo "systemctl $*: not here" >&2 && exit 1 ;;
esac
