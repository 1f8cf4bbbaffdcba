#!/usr/bin/env bash
# Over gRPC, too, who does not read costs little: content goes from the store as it is taken.
. "$(dirname "$0")/lib.bash"
SLOW=$(dirname "$0")/grpc/slow.py
start_daemon
make_tenant acme
make_config big first text
yes 201
ID=$(field .id)
anon() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$DAEMON/status"; }
# A version of 4 MB, which stands in the file 'content'.
publish() {
	head -c 3000000 /dev/urandom | base64 -w 0 >"$WORK/content"
	jq -n --rawfile c "$WORK/content" '{content: $c}' >"$WORK/req"
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d @"$WORK/req"
	yes 200
}
# STORY N: says where it stands on descriptor 5, and goes on by a line on 6.
begin() {
	coproc SLOW_IO { python3 "$SLOW" "$1" "${URL##*:}" "$TOKEN" "$2" "$WORK/content" 2>&1; }
	SLOW_PID=$SLOW_IO_PID
	exec 5<&"${SLOW_IO[0]}" 6>&"${SLOW_IO[1]}"
	says open
}
says() {
	local line
	read -r -t 60 -u 5 line || fail "slow.py"
	[ "$line" = "$1" ] || fail "$line $(timeout 1 cat <&5)"
}
goes_on() {
	echo >&6
	says "$1"
}
reads() {
	goes_on read
	wait "$SLOW_PID" || fail "slow.py"
	exec 5<&- 6>&-
}

step "100 watches with content do not read: a version of 4 MB costs none of them so much"
# What a publish takes stays with the daemon.
publish
publish
begin watch 100
BEFORE=$(anon)
publish
goes_on told
GROWN=$(($(anon) - BEFORE))
[ $GROWN -lt 40000 ] || fail "$GROWN KiB more for those that do not read"
reads

step "nor does it any of 100 fetches"
BEFORE=$(anon)
begin fetch 100
goes_on told
GROWN=$(($(anon) - BEFORE))
[ $GROWN -lt 20000 ] || fail "$GROWN KiB more for those that do not read"
reads
