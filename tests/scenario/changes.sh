#!/usr/bin/env bash
# The leader is killed in the middle of changes of the membership: who asked is on
# record, and whoever leads then says what came of it, once and truthfully; by hand,
# a cluster says who formed it, also after a crash.
. "$(dirname "$0")/lib.bash"

need_test_build
declare -A PID HTTP RAFT
for n in 1 2 3 4; do RAFT[$n]=127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"

# start_node ID FAILPOINTS [flags]
start_node() {
	local n=$1 points=$2
	shift 2
	rm -f "$WORK/n$n/confluxd.listen"
	CONFLUX_FAILPOINTS=$points "$TEST_BUILD/confluxd" --data-dir "$WORK/n$n" \
		--listen 127.0.0.1:0 --node-id "$n" --raft-listen "${RAFT[$n]}" \
		--cluster-election-timeout 2s --cluster-hold 20s "$@" \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
}
serves() {
	until_ok test -s "$WORK/n$1/confluxd.listen"
	HTTP[$1]=http://$(cat "$WORK/n$1/confluxd.listen")
}
end_node() {
	kill -"${2:-TERM}" "${PID[$1]}" 2>/dev/null || true
	wait "${PID[$1]}" 2>/dev/null || true
	unset "PID[$1]"
}
trap 'rc=$?; [ $rc = 0 ] || tail -n 15 "$WORK"/daemon?.log >&2; cleanup' EXIT
get() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}$2"; }
is_gone() { ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }
records() { [ "$(get "$1" /_cluster/status | jq .cluster_version)" -ge 2 ]; }
# Records of changes at node $1, one a line.
trail() {
	get "$1" "/api/v1/audit?limit=1000" | jq -r '.records[] |
		select(.action | test("^(member-|leader-|cluster-)")) |
		"\(.subject): \(.target)"'
}
says() { trail "$1" | grep -qF "$2"; }

step "three nodes"
for n in 1 2 3; do start_node $n "" --peers "$PEERS"; done
for n in 1 2 3; do serves $n; until_ok ready $n; done
until_ok one_token
TOKEN=$(cat "$WORK"/n[123]/root.token)
export CONFLUX_TOKEN=$TOKEN
for n in 1 2 3; do until_ok records $n; done

# crash_at FAILPOINT PATH BODY: all are started anew, the leader dies at that point of
# the change, which is asked for once; L is who that was, A another.
crash_at() {
	local point=$1 path=$2 body=$3
	for n in 1 2 3; do end_node $n; done
	for n in 1 2 3; do start_node $n "$point=crash" --peers "$PEERS"; done
	for n in 1 2 3; do serves $n; until_ok ready $n; done
	L=$(get 1 /api/v1/status | jq .leader_id)
	A=$((L % 3 + 1))
	at $A
	TO=$((A % 3 + 1))
	ask POST "$URL/_cluster/$path" -d "${body//TO/$TO}"
	yes 503
	until_ok is_gone "${PID[$L]}"
	end_node $L
	has_leader() { local l; l=$(get $A /api/v1/status | jq .leader_id); [ "$l" != 0 ] && [ "$l" != "$L" ]; }
	until_ok has_leader
	until_ok ready $A
}
# What node A says once came of the last change, and who is a member then.
found() {
	until_ok says $A "$1"
	is "$(trail $A | grep -cF "$1")" 1 "how often it is said"
	start_node $L "" --peers "$PEERS"
	serves $L
	until_ok ready $L
	until_ok says $L "$1"
	for n in 1 2 3; do
		is "$(get $n /api/v1/audit/verify | jq .valid)" true "the chain of $n"
	done
}
is_member() { get $A /_cluster/nodes | jq -e ".nodes[] | select(.id == $1)"; }

step "the leader dies after it was asked, before it began"
ADD='{"id": 4, "address": "'${RAFT[4]}'"}'
crash_at member.asked nodes "$ADD"
until_ok says $A "token:root: member-add node 4 at ${RAFT[4]}: asked for"
found "system: member-add node 4 at ${RAFT[4]}: found no member by the membership of entry 1; asked for by token:root in record "
is_member 4 >/dev/null && fail "node 4 is a member"

step "it dies when it was made, before that was on record"
crash_at member.made nodes "$ADD"
until_ok says $A "found a learner by the membership of entry "
found "found a learner by the membership of entry "
is_member 4 >/dev/null || fail "node 4 is no member"

step "it dies before it hands leadership over"
crash_at member.asked leader/transfer '{"id": TO}'
found "system: leader-transfer node $TO: found node "
trail $A | grep -Eq "leader-transfer node $TO: found node [123] leading in term [0-9]+; asked for by token:root" || fail "$(trail $A)"

step "what went well, and what was refused"
for n in 1 2 3; do end_node $n; done
for n in 1 2 3; do start_node $n "" --peers "$PEERS"; done
for n in 1 2 3; do serves $n; until_ok ready $n; done
at $A
change_member remove 4 --force
until_ok says $A "token:root: member-remove node 4, by force: done"
if conflux cluster promote 9 2>"$WORK/out"; then fail "9 was promoted"; fi
until_ok says $A "token:root: member-promote node 9: refused, not-found: "
conflux audit list --limit 1000 >"$WORK/out" || fail "audit list"
has "$(cat "$WORK/out")" "member-promote"
for n in 1 2 3; do end_node $n; done
rm -r "$WORK"/n?

step "by hand: who did it is on record, also after crashes"
PORT=${RAFT[1]##*:}
hand() { start_node 1 "$1" --peers "dns:localhost:$PORT" --cluster-advertise "${RAFT[1]}"; serves 1; at 1; }
waits() { curl -s "${HTTP[1]}/readyz?verbose" | grep -q -- "-\]cluster.*is to be said by hand"; }
hand initialize.write=crash
until_ok waits
if conflux cluster initialize --expect 1 2>"$WORK/out"; then fail "it went well"; fi
until_ok is_gone "${PID[1]}"
end_node 1
[ ! -e "$WORK/n1/initialized" ] || fail "a record of nothing"
hand initialize.written=crash
until_ok waits
if conflux cluster initialize --expect 1 2>"$WORK/out"; then fail "it went well"; fi
until_ok is_gone "${PID[1]}"
end_node 1
[ -s "$WORK/n1/initialized" ] || fail "no record"
hand ""
until_ok waits
conflux cluster initialize --expect 1 >/dev/null
until_ok ready 1
until_ok one_token
TOKEN=$(cat "$WORK/n1/root.token")
export CONFLUX_TOKEN=$TOKEN
until_ok says 1 "system: cluster-initialize: done, asked for at node 1 before it had a cluster"
gone() { [ ! -e "$WORK/n1/initialized" ]; }
until_ok gone
is "$(trail 1 | grep -c cluster-initialize)" 1 "how often it is said"
is "$(get 1 "/api/v1/audit?limit=100" | jq -r '.records[] | select(.action == "cluster-initialize") | .origin' | sed 's/:.*//')" 127.0.0.1 "from where"
if conflux cluster initialize 2>"$WORK/out"; then fail "twice"; fi
[ ! -e "$WORK/n1/initialized" ] || fail "a record of what was refused"
end_node 1
