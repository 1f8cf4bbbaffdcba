#!/usr/bin/env bash
# h2spec against a daemon: what fails must be what is known to (make h2spec).
. "$(dirname "$0")/../scenario/lib.bash"
: "${H2SPEC:?the program}"
start_daemon
# A GET is answered at once there, and a POST waits for its body.
timeout 300 "$H2SPEC" -h 127.0.0.1 -p "${URL##*:}" -P /_cluster/initialize -o 2 \
	generic http2 hpack >"$WORK/out" 2>&1 || true
grep "^145 tests" "$WORK/out" || fail "h2spec has not run: $(tail -n 3 "$WORK/out")"
# Failures are told where they happen, and again in a list behind all.
sed -n '/^Failures:/,$p' "$WORK/out" | sed -n 's/^ *× [0-9]*: //p' |
	LC_ALL=C sort >"$WORK/failed"
LC_ALL=C sort >"$WORK/known" <<'EOF'
Sends PRIORITY frame that depend on itself
Sends a WINDOW_UPDATE frame with a flow control window increment of 0 on a stream
Sends invalid connection preface
Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream
Sends stream identifier that is numerically smaller than previous
closed: Sends a DATA frame
closed: Sends a DATA frame after sending RST_STREAM frame
closed: Sends a HEADERS frame
closed: Sends a HEADERS frame after sending RST_STREAM frame
EOF
# One that is known may pass: some are decided by who is faster.
NEW=$(LC_ALL=C comm -23 "$WORK/failed" "$WORK/known")
[ -z "$NEW" ] || fail "beyond what is known: $NEW"
