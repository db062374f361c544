# shellcheck shell=bash
# NATS with JetStream, built from its Go module because Debian's is years old.
# An acknowledged publish is synced (`sync_interval: always`): without it a power cut loses two minutes of them.

readonly NATS_VERSION=v2.15.2

nats_install() { go_install nats-server "$NATS_VERSION" github.com/nats-io/nats-server/v2; }
nats_ports() { echo client; }
nats_signal() { echo TERM; }
nats_exports() {
  echo "GRIOT_TEST_NATS=nats://127.0.0.1:$(port nats client)"
  # For tests that start, stop and kill servers of their own.
  echo "GRIOT_TEST_NATS_SERVER=$ROOT/bin/nats-server-$NATS_VERSION/nats-server"
}

nats_start() {
  cat >"$ROOT/nats/nats.conf" <<CONF
listen: "127.0.0.1:$(port nats client)"
server_name: griot
jetstream {
  store_dir: "$ROOT/nats/data"
  sync_interval: always
  max_memory_store: 256MB
  max_file_store: 16GB
}
CONF
  spawn nats "$ROOT/bin/nats-server-$NATS_VERSION/nats-server" --config "$ROOT/nats/nats.conf"
}

# JetStream itself must answer, not only the server in front of it.
nats_ready() { dial "$(port nats client)" nats_greet; }

nats_greet() {
  printf '%s\r\n' 'CONNECT {"verbose":false}' 'SUB reply 1' "PUB \$JS.API.INFO reply 0" '' >&8
  take_line '{"type":"io.nats.jetstream.api.v1.account_info_response","memory"*'
}
