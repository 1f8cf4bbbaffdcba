#!/usr/bin/env bash
# The n-th allocation of a confluxd fails, whoever asks for it: we, OpenSSL, LMDB, libuv,
# libc.  In a life that begins with an empty folder and publishes, and in one that begins
# with what that left.  It goes on, or ends by its own word: an error, or an abort that says
# why; then it starts again, and all that was acknowledged is there.
#
# Each n with FULL=1 (hours), each so many with STEP=50; else they get sparser from either
# end, because most allocations of a start read the kinds that there are.
. "$(dirname "$0")/lib.bash"
ulimit -c 0
LOG=$WORK/daemon.log
declare -A ENDS=()

# Seconds until nobody will answer; where nothing fails, somebody does.
PATIENCE=2

# publish N: one more version of what is there; false: no answer that it was done.
publish() {
	local kind
	case $1 in
	0) kind=("$URL/api/v1/mgt/configs" -d '{"tenant": "acme", "application": "shop",
		"environment": "prod", "name": "c.txt", "format": "text", "content": "0"}') ;;
	*) kind=("$URL/api/v1/mgt/configs/$ID/publish" -H "Idempotency-Key: k$1" -d "{\"content\": \"$1\"}") ;;
	esac
	TRIED=$1
	curl -sf -m "$PATIENCE" -X POST -H "Authorization: Bearer $TOKEN" "${kind[@]}" >"$WORK/answer" || return 1
	[ "$1" != 0 ] || ID=$(jq -r .id "$WORK/answer")
	ACKED=$1
}

tenant() {
	curl -sf -m "$PATIENCE" -X POST -H "Authorization: Bearer $TOKEN" -d '{"kind": "Tenant",
		"apiVersion": "gitops.conflux.io/v1alpha1", "metadata": {"name": "acme"}}' \
		"$KUBE/tenants" >"$WORK/answer"
}

# is_gone PID: it runs no more, whether it was waited for or not.
is_gone() { ! kill -0 "$1" 2>/dev/null || [ "$(cut -d' ' -f3 <"/proc/$1/stat" 2>/dev/null || echo Z)" = Z ]; }
is_listening_or_gone() { [ -s "$DATA/confluxd.listen" ] || is_gone "$DAEMON"; }

# life N FROM: one in which the N-th allocation fails, and which publishes from FROM on.
life() {
	rm -f "$DATA/confluxd.listen" "$WORK/count"
	: >"$LOG"
	MEMORY_FAILS=$1 MEMORY_COUNT=$WORK/count LD_PRELOAD=$CONFLUX_BUILD/preload/memory.so \
		"$CONFLUX_BIN/confluxd" --data-dir "$DATA" --listen 127.0.0.1:0 2>>"$LOG" &
	DAEMON=$!
	until_ok is_listening_or_gone
	if [ -s "$DATA/confluxd.listen" ]; then
		URL=http://$(cat "$DATA/confluxd.listen")
		TOKEN=$(cat "$DATA/root.token")
		KUBE=$URL/apis/gitops.conflux.io/v1alpha1
		if [ "$2" != 0 ] || tenant; then
			publish "$2" && publish $(($2 + 1)) || true
		fi
	fi
	kill -TERM "$DAEMON" 2>/dev/null || true
	until_ok is_gone "$DAEMON"
	rc=0
	wait "$DAEMON" || rc=$?
	DAEMON=
	ENDS[$rc]=$((${ENDS[$rc]:-0} + 1))
	case $rc in
	0) ;;
	134) grep -qE 'memory|failed|terminate' "$LOG" || fail "allocation $1: it aborts and does not say why" ;;
	[1-9] | [1-9][0-9] | 127)
		[ -s "$LOG" ] && ! tail -n 1 "$LOG" | grep -q ' INFO ' ||
			fail "allocation $1: it ends with $rc and does not say why: $(tail -n 3 "$LOG")" ;;
	*) fail "allocation $1: exit code $rc: $(tail -n 5 "$LOG")" ;;
	esac
}

# What was acknowledged is there, or what was sent behind it.
check() {
	: >"$LOG"
	start_daemon
	if [ "$ACKED" -ge 0 ]; then
		ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c.txt"
		is "$STATUS" 200 "allocation $1: $ACKED was acknowledged"
		# Of those that were not acknowledged each may have been done, also later.
		[ "$BODY" -ge "$ACKED" ] && [ "$BODY" -le "$TRIED" ] ||
			fail "allocation $1: $ACKED was acknowledged, $BODY is live"
		ACKED=$BODY
	fi
	ask GET "$URL/api/v1/audit/verify"
	is "$(field .valid)" true "allocation $1: the audit chain"
	stop_daemon
}

# points N: which of N allocations fail.
points() {
	if [ -n "${FULL:-}" ]; then
		seq 1 "$1"
	elif [ -n "${STEP:-}" ]; then
		seq 1 "$STEP" "$1"
	else
		for ((n = 1; n < $1 / 2; n *= 60)); do echo "$n"; done
		for ((n = $1 / 2; n > 0; n = n * 2 / 5)); do echo $(($1 - n)); done
	fi
}

empty() {
	rm -rf "$DATA"
	ACKED=-1 TRIED=-1 ID=
}

# So many there are, and a few more or less, as threads meet.
count() {
	PATIENCE=60 life 1000000000 "$1"
	is "$rc" 0 "a life in which nothing fails"
	is "$ACKED" $(($1 + 1)) "what it has published"
	COUNT=$(cat "$WORK/count")
	[ "$COUNT" -gt 1000 ] || fail "only $COUNT allocations"
}

step "the n-th allocation fails in a first life"
empty
count 0
for n in $(points "$COUNT"); do
	empty
	life "$n" 0
	check "$n"
done
step "  of $COUNT"

step "and in those behind it"
empty
count 0
count 2
for n in $(points "$COUNT"); do
	life "$n" $((TRIED + 1))
	check "$n"
done
step "  of $COUNT"
for rc in "${!ENDS[@]}"; do step "  $rc: ${ENDS[$rc]} lives"; done
[ "${ENDS[134]:-0}" -gt 2 ] || fail "hardly one aborted: did any allocation fail?"
