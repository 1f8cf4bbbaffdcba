#!/usr/bin/env bash
# Bodies of another shape than what they should have: each JSON type at each member of each
# kind's object and of each body that a route takes, then random ones.  They are refused,
# and the daemon lives.
. "$(dirname "$0")/lib.bash"
start_daemon

step "objects and bodies of every shape are answered, and what is wrong is refused"
python3 "$(dirname "$0")/bodies/bodies.py" "$URL" "${SEED:-$RANDOM}" || fail "bodies.py"

step "the daemon that started is the one that ends"
kill -0 "$DAEMON" || fail "the daemon is gone"
ask GET "$URL/livez"
yes 200
stop_daemon
