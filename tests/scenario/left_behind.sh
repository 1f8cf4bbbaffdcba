#!/usr/bin/env bash
# Watchers, over each protocol, of a follower that is left behind so far that what comes
# next is no more in the leader's log: a checkpoint is installed under them.  It stands
# still, is killed, and at last misses more than events are kept of.  Each watcher hears of
# every version, once, in order, or is told 410, fetches, and goes on behind that.
. "$(dirname "$0")/lib.bash"
with_tsan
HERE=$(dirname "$0")/watch
N=60

declare -A PID HTTP PORT RAFT
for n in 1 2 3; do RAFT[$n]=127.0.0.1:$(free_port) PORT[$n]=$(free_port); done
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen "127.0.0.1:${PORT[$n]}" \
		--node-id "$n" --raft-listen "${RAFT[$n]}" \
		--peers "1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}" --server-heartbeat 500ms \
		--storage-checkpoint-log 1MiB --storage-events-count 150 \
		--cluster-election-timeout 1s --cluster-hold 20s \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
	HTTP[$n]=http://127.0.0.1:${PORT[$n]}
	until_ok test -s "$WORK/n$n/confluxd.listen"
}
trap 'rc=$?; [ $rc = 0 ] || tail -n 8 "$WORK"/daemon?.log >&2; cleanup' EXIT
with_token() { curl -sf -H "Authorization: Bearer $TOKEN" "$@"; }
grown() { [ "$(with_token "${HTTP[1]}/_cluster/status" | jq .cluster_version)" -ge 3 ]; }
metric() { with_token "${HTTP[$1]}/metrics" | sed -n "s/^$2 //p"; }
installed() { [ "$(metric "$1" conflux_checkpoints_installed_total)" = "$2" ]; }

# body FILE CONTENT-BYTES: of a configuration whose name is taken.
body() {
	jq -n --argjson n "$2" '{tenant: "acme", application: "shop", environment: "prod",
		name: "app", format: "text", content: ("x" * $n)}' >"$WORK/$1"
}
# load COUNT STREAMS FILE PATH: all of it is answered, and none by a 5xx.
load() {
	h2load -n "$1" -c 2 -m "$2" -d "$3" -H "Authorization: Bearer $TOKEN" \
		"$URL/$4" >"$WORK/h2load"
	has "$(cat "$WORK/h2load")" " 0 errored, 0 timeout"
	has "$(cat "$WORK/h2load")" " 0 5xx"
}
# Entries that change nothing, until the leader has cut off of its log what the node that
# stands still needs next: it keeps 2 * 8,192 entries before its newest checkpoint, and the
# older one.
older() { find "$WORK/n$LEADER/checkpoints" -name '*.meta' -printf '%f\n' | sort | tail -n 2 |
	head -n 1 | sed 's/-.*//; s/^0*//'; }
newest() { with_token "$URL/_cluster/status" | jq .checkpoint_index; }
is_cut() { [ "$(older)" -gt "$1" ] && [ "$(newest)" -gt $(($1 + 16384)) ]; }
gone() { [ "$(metric "$LEADER" "conflux_peer_up{node=\"$BEHIND\"}")" = 0 ]; }
# The leader's ends of connections to it; the kernel takes them for who stands still.
ends() { ss -Htnp "dport = :${RAFT[$BEHIND]##*:}" | grep "pid=${PID[$LEADER]}," |
	awk '{ print $4 }' | sort || true; }
forgotten() { [ -z "$(comm -12 "$WORK/ends" <(ends))" ]; }
leave_behind() {
	local has i
	until_ok gone
	has=$(metric "$LEADER" "conflux_peer_match_index{node=\"$BEHIND\"}")
	load 17500 64 "$WORK/small" api/v1/mgt/configs
	for i in $(seq 200); do
		is_cut "$has" && break
		[ "$i" -lt 200 ] || fail "the log still has what follows $has"
		load 1000 64 "$WORK/small" api/v1/mgt/configs
	done
	# What waits for a connection that is being made would still get there.
	ends >"$WORK/ends"
	until_ok forgotten
}

VERSION=1
more() {
	local i
	for i in $(seq "$1"); do
		ask POST "$URL/api/v1/mgt/configs/$ID/publish" \
			-d "{\"content\": \"$i $VERSION\"}"
		yes 200
		VERSION=$(field .version_id)
	done
}
# follow NAME N URL...: watchers that go by that name; SINCE, VERSION, MAY_LIST.
declare -A IN OUT WHO
follow() {
	local name=$1 in out
	shift
	mkfifo "$WORK/$name.in" "$WORK/$name.out"
	/usr/bin/python3 "$HERE/follow.py" acme/shop/prod/app "$@" <"$WORK/$name.in" \
		>"$WORK/$name.out" 2>"$WORK/$name.log" &
	WHO[$name]=$!
	exec {in}>"$WORK/$name.in" {out}<"$WORK/$name.out"
	IN[$name]=$in OUT[$name]=$out
	answer "$name"
}
answer() {
	read -r -t 120 -u "${OUT[$1]}" ANSWER || fail "$1: $(tail -n 5 "$WORK/$1.log")"
}
order() { # NAME ORDER
	echo "${*:2}" >&"${IN[$1]}"
	answer "$1"
}
all_hear() { order "${1:-all}" wait "$VERSION"; is "${ANSWER% *}" "heard $VERSION" "watchers"; }
ends_well() { # NAME
	echo stop >&"${IN[$1]}"
	wait "${WHO[$1]}" || fail "$1: $(tail -n 5 "$WORK/$1.log")"
}

step "three nodes, and $N watchers over them"
for n in 1 2 3; do start_node "$n"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
export TOKEN
until_ok grown
LEADER=$(with_token "${HTTP[1]}/api/v1/status" | jq -r .leader_id)
BEHIND=$((LEADER % 3 + 1))
at "$LEADER"
make_tenant acme
make_config app one
yes 201
ID=$(field .id)
FIRST=$(field .revision)
body small 400
SINCE=$FIRST VERSION=1 follow all $N "${HTTP[1]}" "${HTTP[2]}" "${HTTP[3]}"
order all spread
more 3
all_hear
MOVED=${ANSWER##* }
order all on $((BEHIND - 1))
is "$ANSWER" "on $((N / 3))" "watchers of the follower"

step "it stands still until it needs a checkpoint: its watchers stay, and miss nothing"
kill -STOP "${PID[$BEHIND]}"
more 3
leave_behind
more 3
kill -CONT "${PID[$BEHIND]}"
until_ok installed "$BEHIND" 1
all_hear
is "${ANSWER##* }" "$MOVED" "who had to move"
more 3
all_hear

step "it is killed, and comes back too late for the log: whoever goes there misses nothing"
end_node "$BEHIND" KILL
more 3
leave_behind
more 3
all_hear
start_node "$BEHIND"
order all go $((BEHIND - 1))
more 3
until_ok installed "$BEHIND" 1
all_hear
order all go $((BEHIND - 1))
more 3
all_hear
order all on $((BEHIND - 1))
[ "${ANSWER#on }" -gt 0 ] || fail "nobody got in at the node that came back"

step "who was away since the beginning hears of it all there"
SINCE=$FIRST VERSION=1 follow late 5 "${HTTP[$BEHIND]}"
all_hear late
ends_well late
ends_well all

step "it misses more than events are kept of: 410, and from there on all"
SINCE='' VERSION=$VERSION MAY_LIST=1 follow again $N "${HTTP[1]}" "${HTTP[2]}" "${HTTP[3]}"
order again spread
more 1
all_hear again
order again on $((BEHIND - 1))
is "$ANSWER" "on $((N / 3))" "watchers of the follower"
AT=$(with_token "$URL/api/v1/status" | jq .revision)
ask POST "$URL/api/v1/mgt/configs" -d "$(jq -c '.name = "noise"' "$WORK/small")"
yes 201
NOISE=$(field .id)
kill -STOP "${PID[$BEHIND]}"
until_ok gone
more 3
/usr/bin/python3 - "$URL" "$NOISE" <<'PY'
import http.client, json, os, sys
c = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"), timeout=60)
head = {"Authorization": "Bearer " + os.environ["TOKEN"]}
for i in range(250):
    c.request("POST", f"/api/v1/mgt/configs/{sys.argv[2]}/publish",
              json.dumps({"content": f"noise {i}"}), head)
    answer = c.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
PY
compacted() {
	ask GET "$URL/api/v1/watch?prefix=&since=$AT&wait=100ms"
	[ "$STATUS" = 410 ]
}
until_ok compacted
leave_behind
kill -CONT "${PID[$BEHIND]}"
all_hear again
installed "$BEHIND" 2 || fail "there was no need for a checkpoint"
order again listed
is "$ANSWER" "listed $((N / 3))" "who was told 410"
more 3
all_hear again
ends_well again

step "the nodes have one state"
for n in 1 2 3; do
	until_ok eval "[ \$(metric $n conflux_revision) = \$(metric $LEADER conflux_revision) ]"
	is "$(metric "$n" conflux_raft_divergence)" 0 "divergence at $n"
done
