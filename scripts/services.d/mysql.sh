# shellcheck shell=bash
# MariaDB from Debian, every commit synced. User, password and database are `griot`.

mysql_install() {
  { type -P mariadbd && type -P mariadb && type -P mariadb-install-db; } >/dev/null || apt_install mariadb-server-core mariadb-client-core
}
mysql_ports() { echo sql; }
mysql_signal() { echo TERM; }
mysql_exports() { echo "GRIOT_TEST_MYSQL=mysql://griot:griot@127.0.0.1:$(port mysql sql)/griot"; }

mysql_start() {
  local data=$ROOT/mysql/data user tls=()
  user=$(id -un)
  if [ ! -d "$data" ]; then
    rm -rf "$data.new"
    mariadb-install-db --no-defaults --datadir="$data.new" --user="$user" --skip-test-db \
      --auth-root-authentication-method=normal >>"$ROOT/mysql/log" 2>&1
    mv "$data.new" "$data"
  fi
  cat >"$ROOT/mysql/init.sql" <<'SQL'
CREATE DATABASE IF NOT EXISTS griot;
CREATE USER IF NOT EXISTS griot@'127.0.0.1' IDENTIFIED BY 'griot';
GRANT ALL ON *.* TO griot@'127.0.0.1';
SQL
  # A certificate that somebody laid down here makes it speak TLS.
  [ ! -e "$ROOT/mysql/tls/server.crt" ] || tls=(--ssl-cert="$ROOT/mysql/tls/server.crt" --ssl-key="$ROOT/mysql/tls/server.key")
  # No socket: its path would be too long in a deep checkout.
  spawn mysql mariadbd --no-defaults --user="$user" --datadir="$data" --init-file="$ROOT/mysql/init.sql" \
    --bind-address=127.0.0.1 --port="$(port mysql sql)" --socket= --pid-file="$ROOT/mysql/server.pid" \
    --skip-name-resolve --innodb-flush-log-at-trx-commit=1 --character-set-server=utf8mb4 --max-connections=200 --max-allowed-packet=256M \
    ${tls[@]+"${tls[@]}"}
}

mysql_client() {
  MYSQL_PWD=griot mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port="$(port mysql sql)" \
    --connect-timeout=3 --user=griot --database=griot "$@"
}

mysql_ready() { mysql_client --execute='select 1' >/dev/null; }
