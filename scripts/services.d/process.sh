# shellcheck shell=bash
# A server as a process: its folder, its ports, its pid, its end.
#
# Each service has a folder $ROOT/NAME with `log`, `pid`, `port.KIND` and `data/`.

# Ports below the kernel's ephemeral range (from 32768): no outgoing connection can take the port of a server that is
# down for a moment, and a client that keeps reconnecting to it on loopback cannot end up connected to itself.
readonly PORT_FIRST=20000 PORT_COUNT=12000
readonly READY_SECONDS=120 STOP_SECONDS=30

listening() { # PORT
  (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
  local port
  for _ in {1..200}; do
    port=$((PORT_FIRST + RANDOM % PORT_COUNT))
    if ! listening "$port" && ! grep -qsx "$port" "$ROOT"/*/port.*; then
      echo "$port"
      return
    fi
  done
  die "found no free port from $PORT_FIRST to $((PORT_FIRST + PORT_COUNT - 1)): stop something that listens there"
}

port() { # SERVICE KIND
  cat "$ROOT/$1/port.$2"
}

# Keeps the ports a stopped service had, unless somebody else took one meanwhile.
assign_ports() { # SERVICE
  local kind file
  running "$1" || clean_up "$1"
  for kind in $("${1}_ports"); do
    file=$ROOT/$1/port.$kind
    if [ -s "$file" ] && ! running "$1" && listening "$(<"$file")"; then rm "$file"; fi
    [ -s "$file" ] || free_port >"$file.new"
    [ -s "$file" ] || mv "$file.new" "$file"
  done
}

# A pid together with the moment the process began is never used twice. A zombie does not count as running, once its last
# thread is gone: until then it holds its ports and files.
began() { # PID
  local stat fields threads
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra fields <<<"${stat##*) }"
  threads=("/proc/$1/task"/*)
  [ "${fields[0]}" != Z ] || [ ${#threads[@]} -gt 1 ] || return 1
  echo "${fields[19]}"
}

running() { # SERVICE
  local pid when
  { read -r pid when <"$ROOT/$1/pid"; } 2>/dev/null && [ "$(began "$pid")" = "$when" ]
}

pid_of() { # SERVICE
  local pid _
  read -r pid _ <"$ROOT/$1/pid"
  echo "$pid"
}

# A process and all that descend from it.
tree() { # PID
  local -A parent=()
  local stat pid fields grown=1 members=" $1 "
  for stat in /proc/[0-9]*/stat; do
    pid=${stat#/proc/}
    { read -r stat <"$stat"; } 2>/dev/null || continue
    read -ra fields <<<"${stat##*) }"
    parent[${pid%/stat}]=${fields[1]}
  done
  while [ -n "$grown" ]; do
    grown=
    for pid in "${!parent[@]}"; do
      if [[ $members == *" ${parent[$pid]} "* && $members != *" $pid "* ]]; then
        members+="$pid "
        grown=1
      fi
    done
  done
  echo "$members"
}

# Runs COMMAND in a session of its own, away from this terminal, from the caller's lock and from the pipe that
# `eval "$(scripts/services up)"` reads until its end.
spawn() { # SERVICE COMMAND…
  local service=$1 pid
  shift
  echo "--- $(date -u +%FT%TZ) $*" >>"$ROOT/$service/log"
  setsid "$@" </dev/null >>"$ROOT/$service/log" 2>&1 9>&- &
  pid=$!
  echo "$pid $(began "$pid")" >"$ROOT/$service/pid"
}

# Waits until CONDITION holds; fails after SECONDS.
await() { # SECONDS CONDITION…
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

stopped() { ! running "$1"; }

gone() { # PID…
  local pid
  for pid in "$@"; do
    if began "$pid" >/dev/null; then return 1; fi
  done
}

# What a service leaves running beside its process.
clean_up() { # SERVICE
  [ "$(type -t "${1}_clean_up")" != function ] || "${1}_clean_up"
}

answers_or_died() { # SERVICE
  "${1}_ready" 2>/dev/null || stopped "$1"
}

await_ready() { # SERVICE
  if await "$READY_SECONDS" answers_or_died "$1" && running "$1"; then return; fi
  tail -n 20 "$ROOT/$1/log" >&2
  running "$1" && die "$1 does not answer after $READY_SECONDS s; its log is $ROOT/$1/log"
  die "$1 stopped while starting; its log is $ROOT/$1/log"
}

kill_service() { # SERVICE
  running "$1" || return 0
  local members
  read -ra members <<<"$(tree "$(pid_of "$1")")"
  kill -9 "${members[@]}" 2>/dev/null || true
  await 30 gone "${members[@]}" || die "$1 is still there after kill -9: ${members[*]}"
  clean_up "$1"
}

stop_service() { # SERVICE
  running "$1" || return 0
  kill -"$("${1}_signal")" "$(pid_of "$1")" || true
  if ! await "$STOP_SECONDS" stopped "$1"; then
    say "$1 did not stop in $STOP_SECONDS s: kill -9"
    kill_service "$1"
  fi
  clean_up "$1"
}

# Kilobytes, a page shared by n processes counted as 1/n in each.
memory() { # SERVICE
  local total=0 pid kilobytes
  for pid in $(tree "$(pid_of "$1")"); do
    kilobytes=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null) || true
    total=$((total + ${kilobytes:-0}))
  done
  echo "$total"
}
