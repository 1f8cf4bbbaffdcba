#!/usr/bin/env bash
# Over gRPC, too, who does not read costs little: content goes from the store as it is taken.
. "$(dirname "$0")/lib.bash"
HERE=$(dirname "$0")/grpc
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
# SCRIPT ARGUMENTS: says where it stands on descriptor 5, and goes on by a line on 6.
begin() {
	coproc SLOW_IO { exec python3 "$HERE/$1" "${@:2}" 2>&1; }
	SLOW_PID=$SLOW_IO_PID
	exec 5<&"${SLOW_IO[0]}" 6>&"${SLOW_IO[1]}"
}
slow() { begin slow.py "$1" "${URL##*:}" "$TOKEN" "$2" "$WORK/content"; says open; }
half() { begin half.py "${URL##*:}" "$TOKEN" "$@"; says sent; }
says() {
	local line
	read -r -t 60 -u 5 line || fail "no line"
	# shellcheck disable=SC2053
	[[ $line == $1 ]] || fail "$line $(timeout 1 cat <&5)"
}
goes_on() {
	echo >&6
	says "$1"
}
ends() { # with these words
	goes_on "$1"
	wait "$SLOW_PID" || fail "the client"
	exec 5<&- 6>&-
}

step "100 watches with content do not read: a version of 4 MB costs none of them so much"
# What a publish takes stays with the daemon.
publish
publish
slow watch 100
BEFORE=$(anon)
publish
goes_on told
GROWN=$(($(anon) - BEFORE))
[ $GROWN -lt 40000 ] || fail "$GROWN KiB more for those that do not read"
ends read

step "nor does it any of 100 fetches"
BEFORE=$(anon)
slow fetch 100
goes_on told
GROWN=$(($(anon) - BEFORE))
[ $GROWN -lt 20000 ] || fail "$GROWN KiB more for those that do not read"
ends read

step "whose token is revoked while what there is goes out is told no more of it"
ROOT=$TOKEN
TOKEN=$(conflux token create reader --read-only -o json | jq -r .token)
slow list 1
goes_on told
TOKEN=$ROOT
ask DELETE "$URL/api/v1/tokens/reader"
yes 204
ends ended

step "12 messages of 4 MB that are sent but for their last byte wait for each other, and come"
BEFORE=$(anon)
half 12 4000000
GROWN=$(($(anon) - BEFORE))
[ $GROWN -lt 40000 ] || fail "$GROWN KiB for messages that are half sent"
ends "12 taken, 0 refused"

step "beside a stream that has brought a message, which was answered, they come as well"
half 3 8000000 beside
ends "3 taken, 0 refused"

step "of so many that each has sent little, and all too much, some are refused"
BEFORE=$(anon)
half 400 300000
GROWN=$(($(anon) - BEFORE))
[ $GROWN -lt 80000 ] || fail "$GROWN KiB for messages that are half sent"
ends '* taken, [1-9]* refused'

step "messages that are whole and are still needed count too, and what is not does not"
whole() { /usr/bin/python3 "$HERE/whole.py" "${URL##*:}" "$TOKEN" "$@"; }
is "$(whole 60 watch)" "60 taken, 0 refused"
# Where the machine is slow the first are over before the last have come.
are_refused() { [[ $(whole 900 wait) == *" taken, "[1-9]* ]]; }
until_ok are_refused

step "a watch that begins with content counts for its subject before that has gone"
stop_daemon
start_daemon --limits-subject-watches 2
calls() { URL=$URL TOKEN=$TOKEN /usr/bin/python3 "$HERE/../watch/calls.py" "$@"; }
slow list 2
goes_on told
calls exhausted 0 || fail "a third watch"
calls there_exhausted || fail "a third that begins with content"
# One that is gone while its content goes counts no more.
kill "$SLOW_PID"
wait "$SLOW_PID" || true
exec 5<&- 6>&-
until_ok calls room
