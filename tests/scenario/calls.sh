#!/usr/bin/env bash
# Each call of the system for connections, threads and descriptors fails once, in a
# daemon that starts, in one that serves, and in the command; then clients take all
# descriptors that they can (tests/tools/calls.py).  FULL=1 leaves no call out.
. "$(dirname "$0")/lib.bash"
need_test_build

PRELOAD=$(realpath "$CONFLUX_BUILD")/preload/calls.so
[ -r "$PRELOAD" ] || fail "$PRELOAD was not built"
python3 "$(dirname "$0")/../tools/calls.py" --confluxd "$TEST_BUILD/confluxd" \
	--conflux "$CONFLUX_BIN/conflux" --preload "$PRELOAD" "$WORK/calls" || fail "calls.py"
