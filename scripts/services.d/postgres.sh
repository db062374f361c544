# shellcheck shell=bash
# PostgreSQL from Debian, with its durable defaults (fsync and synchronous_commit are on).
# User, password and database are `griot`.

postgres_program() { # NAME
  local found
  for found in /usr/lib/postgresql/*/bin/"$1"; do :; done
  echo "$found"
}

postgres_install() { [ -x "$(postgres_program postgres)" ] || apt_install postgresql; }
postgres_ports() { echo sql; }
# Fast shutdown: TERM would wait for every client to leave.
postgres_signal() { echo INT; }
postgres_exports() { echo "GRIOT_TEST_POSTGRES=postgres://griot:griot@127.0.0.1:$(port postgres sql)/griot"; }

# The server refuses root. Then it runs as `postgres`, who may not be allowed to pass through the folders above ours (a
# checkout in /root, say) but for the capability to do just that.
postgres_user() {
  AS_POSTGRES=()
  [ "$(id -u)" -eq 0 ] || return 0
  AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --init-groups)
  postgres_enters && return
  AS_POSTGRES+=(--inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
  postgres_enters ||
    die "user postgres cannot enter $ROOT: set GRIOT_SERVICES to a folder that others can enter"
}

# Really enters: access(2), which `test -x` asks, leaves capabilities out.
postgres_enters() {
  # shellcheck disable=SC2016 # meant for the inner shell
  "${AS_POSTGRES[@]}" sh -c 'cd "$1"' sh "$ROOT/postgres" 2>/dev/null
}

postgres_initialise() { # DATA
  rm -rf "$1.new"
  mkdir -m 700 "$1.new"
  [ "$(id -u)" -ne 0 ] || chown postgres: "$1.new"
  echo griot >"$ROOT/postgres/password"
  (
    cd /
    "${AS_POSTGRES[@]}" "$(postgres_program initdb)" --pgdata="$1.new" --username=griot \
      --pwfile="$ROOT/postgres/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo 'create database griot' | "${AS_POSTGRES[@]}" "$(postgres_program postgres)" --single -D "$1.new" postgres
  ) >>"$ROOT/postgres/log" 2>&1
  mv "$1.new" "$1"
}

# To PostgreSQL a killed server that init has not collected yet is still alive, and its lock file holds. Not every
# container has an init that collects.
postgres_forget_zombie() { # LOCK_FILE
  local former
  { read -r former <"$1"; } 2>/dev/null || return 0
  await 5 collected "$former" || rm "$1"
}

collected() { [ ! -e "/proc/$1" ]; }

postgres_start() {
  local data=$ROOT/postgres/data
  postgres_user
  [ -d "$data" ] || postgres_initialise "$data"
  postgres_forget_zombie "$data/postmaster.pid"
  # No socket: its path would be too long in a deep checkout.
  spawn postgres "${AS_POSTGRES[@]}" "$(postgres_program postgres)" -D "$data" -c unix_socket_directories= \
    -c listen_addresses=127.0.0.1 -c port="$(port postgres sql)" -c max_connections=200
}

postgres_client() {
  PGPASSWORD=griot PGCONNECT_TIMEOUT=3 "$(postgres_program psql)" --no-psqlrc \
    --host=127.0.0.1 --port="$(port postgres sql)" --username=griot --dbname=griot "$@"
}

postgres_ready() { postgres_client --quiet --command='select 1' >/dev/null; }
