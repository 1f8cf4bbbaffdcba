#!/usr/bin/env bash
# Crashes at the steps of scheduled backups, and at the step at which an outvoted
# node writes that it is fenced: a real process dies there, starts again, and what
# it finds is compared.  faults.sh has the steps of log, store and directory.
. "$(dirname "$0")/lib.bash"
need_test_build

whole() { find "$KEPT" -name '*.backup' | sort; }
parts() { find "$KEPT" -name '*.part' | wc -l; }
no_mistakes() {
	! grep -q 'AddressSanitizer\|runtime error' "$WORK/daemon.log" || fail "a mistake of memory"
}

# ---- backups ----

KEPT=$WORK/kept
# Starts the test build with the failpoints $1.
begin() {
	rm -f "$DATA/confluxd.listen"
	CONFLUX_FAILPOINTS=$1 "$TEST_BUILD/confluxd" --data-dir "$DATA" --listen 127.0.0.1:0 \
		--backup-dir "$KEPT" --backup-interval 1s --backup-keep 2 2>>"$WORK/daemon.log" &
	DAEMON=$!
	until_ok test -s "$DATA/confluxd.listen"
	URL=http://$(cat "$DATA/confluxd.listen")
	TOKEN=$(cat "$DATA/root.token")
	KUBE=$URL/apis/gitops.conflux.io/v1alpha1
	export CONFLUX_SERVER=$URL CONFLUX_TOKEN=$TOKEN
}
# Publishes until the daemon is gone; ACKED is the last that was acknowledged.
until_gone() {
	local until=$((SECONDS + 60))
	while :; do
		curl -sf --max-time 5 -o /dev/null -X POST -H "Authorization: Bearer $TOKEN" \
			-d "{\"content\": \"$((ACKED + 1))\"}" -H "Idempotency-Key: k$((ACKED + 1))" \
			"$URL/api/v1/mgt/configs/$ID/publish" || break
		ACKED=$((ACKED + 1))
		[ $SECONDS -lt $until ] || fail "it does not crash"
	done
	ENDED=0
	wait "$DAEMON" || ENDED=$?
	DAEMON=
	is "$ENDED" 137 "the exit code"
}
# The content that $1 restores to.
restored() {
	rm -rf "$WORK/again"
	conflux cluster restore "$1" --data-dir "$WORK/again" >/dev/null 2>"$WORK/out" ||
		fail "restore of $1: $(cat "$WORK/out")"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/again" --listen 127.0.0.1:0 2>>"$WORK/daemon.log" &
	local pid=$!
	until_ok test -s "$WORK/again/confluxd.listen"
	until_ok curl -sf "http://$(cat "$WORK/again/confluxd.listen")/readyz"
	curl -sf -H "Authorization: Bearer $TOKEN" \
		"http://$(cat "$WORK/again/confluxd.listen")/api/v1/fetch/config/acme/shop/prod/c.txt"
	kill -TERM $pid
	wait $pid || true
}
live() { curl -sf -H "Authorization: Bearer $TOKEN" "$URL/api/v1/fetch/config/acme/shop/prod/c.txt"; }
made() { [ "$(conflux cluster backup status -o json | jq .made)" -ge "$1" ]; }

begin ''
until_ok curl -sf "$URL/readyz"
make_tenant acme
make_config c.txt 0
yes 201
ID=$(field .id) ACKED=0
# More than are kept, so that each start prunes.
until_ok made 3
stop_daemon
# The last: behind the rename and before the prune, so there is one more.
for spec in backup.write=crash backup.sync=crash backup.rename=crash backup.prune=crash; do
	whole >"$WORK/before"
	begin "$spec"
	until_gone
	step "$spec: $(whole | wc -l) whole, $(parts) in part"
	case $spec in
	backup.prune*) is "$(whole | comm -13 "$WORK/before" - | wc -l) $(parts)" "1 0" "made" ;;
	*)
		is "$(whole | diff - "$WORK/before")" "" "whole backups that came or went"
		is "$(parts)" 1 "in part" ;;
	esac
	for f in $(whole); do
		conflux cluster backup verify "$f" >/dev/null 2>"$WORK/out" || fail "$f: $(cat "$WORK/out")"
	done
	LAST=$(whole | tail -n 1)
	begin ''
	until_ok curl -sf "$URL/readyz"
	GOT=$(live)
	[ "$GOT" = "$ACKED" ] || [ "$GOT" = $((ACKED + 1)) ] || fail "$ACKED was acknowledged, $GOT is live"
	ACKED=$GOT
	ask GET "$URL/api/v1/audit/verify"
	is "$(field .valid)" true "audit chain"
	until_ok made 1
	until_ok eval '[ "$(whole | wc -l)" = 2 ]'
	stop_daemon
	NEW=$(whole | tail -n 1)
	[[ "$NEW" > "$LAST" ]] || fail "no backup came after $LAST"
	is "$(parts)" 0 "in part after the next one"
	is "$(restored "$NEW")" "$ACKED" "content restored"
done

FAULTS="backup.write=error@1*1 backup.sync=full@1*1 backup.rename=error@1*1 backup.prune=error@1*1"
step "${FAULTS// /, }: each is told, and the next one comes"
: >"$WORK/daemon.log"
begin "${FAULTS// /,}"
for spec in $FAULTS; do until_ok grep -q "failpoint ${spec%%=*}" "$WORK/daemon.log"; done
until_ok eval 'made 2 && [ "$(parts) $(whole | wc -l)" = "0 2" ]'
is "$(conflux cluster backup status -o json | jq '.failed_ms > 0')" false "failing"
stop_daemon
no_mistakes

# ---- a fence ----

PEERS=
for n in 1 2 3; do PEERS=$PEERS,$n=127.0.0.1:$(free_port); done
PEERS=${PEERS#,}
declare -A PID HTTP
# start_node ID failpoints
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	CONFLUX_FAILPOINTS=$2 "$TEST_BUILD/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 \
		--node-id "$n" --raft-listen "$(sed "s/.*\b$n=\([^,]*\).*/\1/" <<<"$PEERS")" \
		--peers "$PEERS" --cluster-election-timeout 1s --cluster-hold 20s \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
trap 'rc=$?; [ $rc = 0 ] || tail -n 15 "$WORK"/daemon?.log >&2; cleanup' EXIT
gone() { ! kill -0 "${PID[$1]}"; }
ended() { ENDED=0; wait "${PID[$1]}" || ENDED=$?; }
divergence() { curl -s -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/metrics" | sed -n 's/^conflux_raft_divergence //p'; }
is_fenced() { [ "$(divergence 3)" = 2 ]; }
write_at() { # NODE NAME: acknowledged and readable there
	at "$1"
	make_config "$2" "$2"
	yes 201
	ask GET "$URL/api/v1/fetch/config/acme/shop/prod/$2"
	is "$BODY" "$2" "what was written"
}

step "an entry has another effect on node 3, which crashes where it would write its fence"
for n in 1 2; do start_node $n ''; done
start_node 3 'apply.effect=error@4*1,fence.write=crash'
for n in 1 2; do until_ok ready $n; done
until_ok one_token 1 2
TOKEN=$(cat "$WORK"/n*/root.token)
at 1
make_tenant acme
for i in 1 2 3; do write_at 1 "before$i"; done
until_ok gone 3
ended 3
is "$ENDED" 137 "the exit code"
[ ! -e "$WORK/n3/fenced" ] || fail "the fence was there before it was written"

step "it is outvoted again after the restart, where that cannot be written either"
for n in 1 2; do until_ok ready $n; done
write_at 2 between
start_node 3 'fence.write=error'
write_at 1 compared
until_ok grep -q 'fencing this node' "$WORK/daemon3.log"
is "$(curl -s -o /dev/null -w '%{http_code}' "${HTTP[3]}/readyz")" 503 "readyz of one that may not go on"
[ ! -e "$WORK/n3/fenced" ] || fail "the fence was written"
kill -KILL "${PID[3]}"
ended 3

step "now it is, and stays so over another kill; the others never stop"
start_node 3 ''
write_at 2 again
until_ok is_fenced
[ -s "$WORK/n3/fenced" ] || fail "fenced, and it is not written"
kill -KILL "${PID[3]}"
ended 3
until_ok ready 1
write_at 1 after
start_node 3 ''
until_ok is_fenced
is "$(curl -s -o /dev/null -w '%{http_code}' "${HTTP[3]}/readyz")" 503 "readyz of a fenced node"
for n in 1 2; do
	until_ok ready $n
	is "$(divergence $n | grep -c 2)" 0 "the others"
done
for i in before1 before2 before3 between compared again after; do
	at 2
	ask GET "$URL/api/v1/fetch/config/acme/shop/prod/$i?consistency=linearizable"
	is "$BODY" "$i" "what was written"
done
at 1
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true "audit chain"
for n in 1 2 3; do kill -TERM "${PID[$n]}"; done
for n in 1 2 3; do wait "${PID[$n]}" || true; done
! grep -q 'AddressSanitizer\|runtime error' "$WORK"/daemon?.log || fail "a mistake of memory"
