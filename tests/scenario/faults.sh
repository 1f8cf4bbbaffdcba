#!/usr/bin/env bash
# One thing fails in a daemon under load: a crash at a durable step, a call of the
# machine that answers an error or that there is no room, memory that runs out.
# It says so and ends, or refuses, or goes on; started again without, everything
# that was acknowledged is there, once, and the audit chain is whole.
#
# FAULTS="spec ..." instead of the list below (base/failpoint.h has the form).
. "$(dirname "$0")/lib.bash"
need_test_build

CRASHES="token.write=crash token.written=crash store.state=crash store.state=crash@2
	apply.before_commit=crash@9 apply.after_commit=crash@9 apply.after_commit=crash
	meta.written=crash known.write=crash"
MEMORY="memory.alloc=error@300*1 memory.alloc=error@700*1 memory.alloc=error@1400*1"
# Of the starting daemon, of the running one's log, and of its store.
CALLS="file.open=error@9*1 file.write=error@30*1 file.write=full@30*1
	file.sync=error@4*1 file.rename=error@3*1 file.sync_dir=error@4*1
	file.write=error@75*1 file.write=full@75*1
	kv.commit=error@8*1 kv.commit=full@8*1 kv.write=error@30*1
	apply.before_commit=error@7*1"
HOW="--storage-checkpoint-log 1MiB"

# Starts confluxd of the test build with the failpoints $1; false: it ended.
begin() {
	rm -f "$DATA/confluxd.listen"
	# shellcheck disable=SC2086
	CONFLUX_FAILPOINTS=$1 "$TEST_BUILD/confluxd" --data-dir "$DATA" \
		--listen 127.0.0.1:0 $HOW 2>>"$WORK/daemon.log" &
	DAEMON=$!
	until [ -s "$DATA/confluxd.listen" ]; do
		kill -0 "$DAEMON" 2>/dev/null || return 1
		sleep 0.02
	done
	URL=http://$(cat "$DATA/confluxd.listen")
	TOKEN=$(cat "$DATA/root.token" 2>/dev/null) || return 1
	KUBE=$URL/apis/gitops.conflux.io/v1alpha1
}
# Its exit code; a daemon that goes on is stopped, without warning.
ended() {
	ENDED=0
	! kill -0 "$DAEMON" 2>/dev/null || kill -KILL "$DAEMON" 2>/dev/null || true
	wait "$DAEMON" 2>/dev/null || ENDED=$?
	DAEMON=
}
try() { # METHOD URL BODY [curl arguments]: is it acknowledged?
	local method=$1 url=$2 body=$3
	shift 3
	curl -sf --max-time 60 -o "$WORK/answer" -X "$method" \
		-H "Authorization: Bearer $TOKEN" -d "$body" "$@" "$url"
}
CONFIG='{"tenant": "acme", "application": "shop", "environment": "prod",
	"name": "c.txt", "format": "text", "content": "0"}'
has_gone() { ! kill -0 "$DAEMON" 2>/dev/null; }
# Has the daemon run into what it was started with?
was_reached() { # SPEC
	case $1 in
	*=crash*) has_gone ;;
	memory*) grep -q "out of memory: " "$WORK/daemon.log" ;;
	kv.*=full*) grep -q "no room for the state" "$WORK/daemon.log" ;;
	kv.* | apply.*) grep -q "can no longer apply" "$WORK/daemon.log" ;;
	*) grep -q "failpoint ${1%%=*}" "$WORK/daemon.log" ;;
	esac
}
# 20 publishes, and more until the failpoint $1 is reached: how many writes of files
# those are depends on how many records a write of the log gathers.  The first that is
# not acknowledged ends it.  ACKED is the last one that was.
load() {
	local n=0
	ACKED=
	try POST "$KUBE/tenants" '{"apiVersion": "gitops.conflux.io/v1alpha1",
		"kind": "Tenant", "metadata": {"name": "acme"}}' || return 0
	try POST "$URL/api/v1/mgt/configs" "$CONFIG" || return 0
	ID=$(jq -r .id "$WORK/answer") ACKED=0
	while [ $n -lt 20 ] || { [ $n -lt 400 ] && ! was_reached "$1"; }; do
		n=$((n + 1))
		try POST "$URL/api/v1/mgt/configs/$ID/publish" "{\"content\": \"$n\"}" \
			-H "Idempotency-Key: k$n" || return 0
		ACKED=$n
	done
}
is_not_ready() { ask GET "$URL/readyz"; [ "$STATUS" = 503 ]; }
# A store that failed: no writes, no readiness, the reason in both places.  What can
# be read is still read.
has_stopped() {
	kill -0 "$DAEMON" || fail "it ended"
	until_ok is_not_ready
	ask GET "$URL/livez"
	yes 200
	ask GET "$KUBE/tenants"
	yes 200
	has "$(cat "$WORK/daemon.log")" "this node can no longer apply"
}
verify() {
	local got
	begin '' || fail "it does not come up after $1"
	until_ok curl -sf "$URL/readyz"
	ask GET "$URL/api/v1/audit/verify"
	is "$(field .valid)" true "the audit chain after $1"
	if [ -n "$ACKED" ]; then
		ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c.txt"
		yes 200
		got=$BODY
		# The one that was under way may have happened.
		[ "$got" = "$ACKED" ] || [ "$got" = $((ACKED + 1)) ] ||
			fail "after $1: $ACKED was acknowledged, $got is live"
		ask POST "$URL/api/v1/mgt/configs/$ID/publish" \
			-H "Idempotency-Key: k$((ACKED + 1))" \
			-d "{\"content\": \"$((ACKED + 1))\"}"
		yes 200
		is "$(field .version_id)" $((ACKED + 2)) "version after $1"
	else
		try POST "$KUBE/tenants" '{"apiVersion": "gitops.conflux.io/v1alpha1",
			"kind": "Tenant", "metadata": {"name": "after"}}' ||
			fail "no writes after $1"
	fi
	stop_daemon
	! grep -q 'AddressSanitizer\|runtime error' "$WORK/daemon.log" ||
		fail "a mistake of memory after $1"
}

for spec in ${FAULTS:-$CRASHES $MEMORY $CALLS}; do
	rm -rf "$DATA"
	: >"$WORK/daemon.log"
	ACKED=
	begin "$spec" && load "$spec"
	# Who asked may know of it before the log says so.
	until_ok was_reached "$spec"
	case $spec in
	kv.*=error* | apply.*=error*) has_stopped "$spec" ;;
	# There is room again at once.
	kv.*=full*) is "$ACKED" 20 "acknowledged with $spec" ;;
	esac
	case $spec in *=crash* | memory*) until_ok has_gone ;; esac
	ended
	step "$spec: acknowledged ${ACKED:-nothing}, exit code $ENDED"
	case $spec in
	*=crash*) is "$ENDED" 137 "the exit code" ;;
	memory*) is "$ENDED" 134 "the exit code" ;;
	*)
		# It went on until it was killed, or said why it did not come up.
		[ "$ENDED" = 137 ] || [ "$ENDED" -lt 64 ] || fail "it ended with $ENDED" ;;
	esac
	verify "$spec"
done

step "a node that fails before it has its root token says why, and ends"
for spec in 'vote.write=error*1' 'wal.write=error*1' 'wal.write=error@2*1'; do
	rm -rf "$DATA"
	: >"$WORK/daemon.log"
	! begin "$spec" || fail "it came up with $spec"
	ended
	[ "$ENDED" -gt 0 ] && [ "$ENDED" -lt 64 ] || fail "it ended with $ENDED"
	has "$(cat "$WORK/daemon.log")" "failpoint ${spec%%=*}"
	ACKED=
	verify "$spec"
done

step "content that comes behind the command that names it goes again, with it"
rm -rf "$DATA"
begin "content.late=error*1" || fail "it did not start"
until_ok curl -sf "$URL/readyz"
try POST "$KUBE/tenants" '{"apiVersion": "gitops.conflux.io/v1alpha1",
	"kind": "Tenant", "metadata": {"name": "acme"}}' || fail "no tenant"
# Larger than what travels in the command.
head -c 300000 /dev/zero | tr '\0' x >"$WORK/large"
jq -Rs '{tenant: "acme", application: "shop", environment: "prod", name: "large.txt",
	format: "text", content: .}' "$WORK/large" >"$WORK/large.json"
try POST "$URL/api/v1/mgt/configs" "@$WORK/large.json" || fail "it was refused: $(cat "$WORK/answer")"
curl -sf -H "Authorization: Bearer $TOKEN" \
	"$URL/api/v1/fetch/config/acme/shop/prod/large.txt" | cmp - "$WORK/large" || fail "content"
ended
