# shellcheck shell=bash
# Toxiproxy, a TCP proxy whose latency, cuts and hangs a test commands over HTTP. It keeps nothing across a restart.

readonly TOXIPROXY_VERSION=v2.12.0

toxiproxy_install() {
  go_install toxiproxy "$TOXIPROXY_VERSION" github.com/Shopify/toxiproxy/v2/cmd/{server,cli}
}
toxiproxy_ports() { echo http; }
toxiproxy_signal() { echo TERM; }
toxiproxy_exports() { echo "GRIOT_TEST_TOXIPROXY=http://127.0.0.1:$(port toxiproxy http)"; }

toxiproxy_start() {
  spawn toxiproxy "$ROOT/bin/toxiproxy-$TOXIPROXY_VERSION/server" -host 127.0.0.1 -port "$(port toxiproxy http)"
}

toxiproxy_ready() { dial "$(port toxiproxy http)" toxiproxy_greet; }

toxiproxy_greet() {
  printf 'GET /version HTTP/1.0\r\n\r\n' >&8
  take_line 'HTTP/1.? 200 *'
}

toxiproxy_client() {
  exec "$ROOT/bin/toxiproxy-$TOXIPROXY_VERSION/cli" --host "http://127.0.0.1:$(port toxiproxy http)" "$@"
}
