# shellcheck shell=bash
# Talks a protocol by its bytes, to ask a server that has no client here whether it really serves.

readonly ANSWER_SECONDS=3

# Runs COMMAND with a connection to PORT as file descriptor 8.
dial() { # PORT COMMAND…
  local port=$1
  shift
  "$@" 8<>"/dev/tcp/127.0.0.1/$port"
}

# The next COUNT bytes of the answer, as hex.
take() { # COUNT
  timeout "$ANSWER_SECONDS" head -c "$1" <&8 | od -An -v -tx1 | tr -d ' \n'
}

# Reads lines of the answer until one matches PATTERN.
take_line() { # PATTERN
  local line
  while IFS= read -r -t "$ANSWER_SECONDS" line <&8; do
    # shellcheck disable=SC2053 # a pattern it is
    [[ $line != $1 ]] || return 0
  done
  return 1
}
