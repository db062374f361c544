# shellcheck shell=bash
# RabbitMQ from Debian: a node with a name, cookie, port mapper and plugins of its own. Quorum queues work on one node
# (they have one member and sync every confirmed message); the consistent hash exchange is enabled.
# User and password are `griot`, the virtual host is `/`.

readonly RABBITMQ_PROGRAMS=/usr/lib/rabbitmq/bin

rabbitmq_install() { [ -x "$RABBITMQ_PROGRAMS/rabbitmq-server" ] || apt_install rabbitmq-server; }
rabbitmq_ports() { echo amqp epmd distribution; }
rabbitmq_signal() { echo TERM; }
rabbitmq_exports() {
  echo "GRIOT_TEST_RABBITMQ=amqp://griot:griot@127.0.0.1:$(port rabbitmq amqp)"
  # For tests that start, stop and kill servers of their own.
  echo "GRIOT_TEST_RABBITMQ_SERVICES=$PWD/scripts/services"
}

# Debian's wrappers in /usr/sbin would switch to the user `rabbitmq` and the system-wide node; these are behind them.
rabbitmq_program() { # NAME ARGUMENT…
  local home=$ROOT/rabbitmq program=$RABBITMQ_PROGRAMS/$1
  shift
  RABBITMQ_COMMAND=(
    env HOME="$home" ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$(port rabbitmq epmd)"
    RABBITMQ_NODENAME=griot@localhost RABBITMQ_DIST_PORT="$(port rabbitmq distribution)"
    RABBITMQ_MNESIA_BASE="$home/data" RABBITMQ_LOG_BASE="$home" RABBITMQ_PID_FILE="$home/server.pid"
    RABBITMQ_GENERATED_CONFIG_DIR="$home/generated" RABBITMQ_CONF_ENV_FILE="$home/rabbitmq-env.conf"
    RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" RABBITMQ_ADVANCED_CONFIG_FILE="$home/advanced.config"
    RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins"
    "$program" "$@"
  )
}

rabbitmq_start() {
  local home=$ROOT/rabbitmq
  echo '[rabbitmq_consistent_hash_exchange].' >"$home/enabled_plugins"
  # The log that quorum queues write ahead is also held in memory, up to 512 MB by default.
  cat >"$home/rabbitmq.conf" <<CONF
listeners.tcp.local = 127.0.0.1:$(port rabbitmq amqp)
default_user = griot
default_pass = griot
raft.wal_max_size_bytes = 64000000
vm_memory_high_watermark.absolute = 2GB
log.console = true
log.file = false
CONF
  rabbitmq_program rabbitmq-server
  # Without the first, a shell stays in front of the server.
  RUNNING_UNDER_SYSTEMD=1 RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    spawn rabbitmq "${RABBITMQ_COMMAND[@]}"
}

rabbitmq_ready() { dial "$(port rabbitmq amqp)" rabbitmq_greet; }

# Opens a connection with user and password: header, Start-Ok, Tune-Ok and Open in one go, then Close. Of the answer,
# Start has any length and Tune 20 bytes; then there must be Open-Ok (class 10, method 41).
rabbitmq_greet() {
  local start opened
  printf 'AMQP\0\0\x09\x01' >&8
  printf '\x01\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0griot\0griot\x05en_US\xce' >&8
  printf '\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0\xce' >&8
  printf '\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce' >&8
  start=$(take 7)
  take "$((16#${start:6} + 1 + 20))" >/dev/null
  opened=$(take 11)
  printf '\x01\0\0\0\0\0\x0b\0\x0a\0\x32\0\xc8\0\0\0\0\0\xce' >&8
  take 13 >/dev/null
  [ "${opened:14}" = 000a0029 ]
}

# The port mapper that the node started outlives it.
rabbitmq_clean_up() {
  local port
  port=$(port rabbitmq epmd 2>/dev/null) || return 0
  ERL_EPMD_PORT=$port epmd -kill >/dev/null 2>&1 || true
}

# ARGUMENT… as for rabbitmqctl.
rabbitmq_client() {
  rabbitmq_program rabbitmqctl "$@"
  exec "${RABBITMQ_COMMAND[@]}"
}
