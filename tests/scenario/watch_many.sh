#!/usr/bin/env bash
# Many watchers of a cluster, as many over server sent events as over long polls, WebSocket
# and gRPC: its leader is killed, a follower stands still under its watchers, and some of
# them do not read.  Each hears of every version, once, in order.
. "$(dirname "$0")/lib.bash"
HERE=$(dirname "$0")/watch
N=300

declare -A PID HTTP
PEERS=
for n in 1 2 3; do PEERS=$PEERS,$n=127.0.0.1:$(free_port); done
PEERS=${PEERS#,}
declare -A PORT
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" \
		--listen "127.0.0.1:${PORT[$n]:-0}" --node-id "$n" --raft-listen \
		"$(sed "s/.*\b$n=\([^,]*\).*/\1/" <<<"$PEERS")" --peers "$PEERS" --cluster-hold 20s \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
	PORT[$n]=${HTTP[$n]##*:}
}
trap 'rc=$?; [ $rc = 0 ] || tail -n 8 "$WORK"/daemon?.log >&2; cleanup' EXIT
status() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/api/v1/status"; }
leader() { status "$1" | jq -r .leader_id; }
grown() { [ "$(curl -sf -H "Authorization: Bearer $TOKEN" \
	"${HTTP[1]}/_cluster/status" | jq .cluster_version)" -ge 3 ]; }

VERSION=1
publish() {
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H "Idempotency-Key: $VERSION" "$@"
	[ "$STATUS" = 200 ] || return 1
	VERSION=$(field .version_id)
}
# More versions, at the node that is asked; a leader may be missing for a while.
more() {
	local i
	for i in $(seq "$1"); do
		until_ok publish -d "{\"content\": \"$i $VERSION\"}"
		until_ok publish -d "{\"content\": \"$i $VERSION\"}"
	done
}
order() { echo "$*" >&"${FOLLOW[1]}"; read -r -t 120 -u "${FOLLOW[0]}" ANSWER ||
	fail "the watchers: $*"; }
all_hear() { order wait "$VERSION"; is "${ANSWER% *}" "heard $VERSION" "watchers"; }

step "three nodes, and $N watchers over them"
for n in 1 2 3; do start_node "$n"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
export TOKEN
until_ok grown
at 1
make_tenant acme
make_config app one
yes 201
ID=$(field .id)
SINCE=$(field .revision)
export SINCE
coproc FOLLOW { VERSION=1 /usr/bin/python3 "$HERE/follow.py" acme/shop/prod/app \
	$N "${HTTP[1]}" "${HTTP[2]}" "${HTTP[3]}" 2>"$WORK/follow.log"; }
read -r -t 120 -u "${FOLLOW[0]}" ANSWER || fail "$(tail -n 5 "$WORK/follow.log")"
VERSION=1
more 5
all_hear

step "the leader is killed while versions are published: all go on elsewhere"
LOST=$(leader 1)
NEXT=$((LOST % 3 + 1))
at "$NEXT"
more 2
end_node "$LOST" KILL
more 5
all_hear
[ "${ANSWER##* }" -ge $((N / 3)) ] || fail "nobody had to move: $ANSWER"
order on $((LOST - 1))
is "$ANSWER" "on 0" "watchers of the lost node"

step "a follower stands still for a while, with its watchers, and catches up"
start_node "$LOST"
until_ok ready "$LOST"
LEADER=$(leader "$NEXT")
for n in 1 2 3; do
	[ "$n" = "$LEADER" ] || [ "$n" = "$LOST" ] || FOLLOWER=$n
done
at "$LEADER"
order on $((FOLLOWER - 1))
ON=${ANSWER#on }
[ "$ON" -gt 0 ] || fail "nobody watches at $FOLLOWER"
order wait "$VERSION"
MOVED=${ANSWER##* }
kill -STOP "${PID[$FOLLOWER]}"
more 20
kill -CONT "${PID[$FOLLOWER]}"
all_hear
is "${ANSWER##* }" "$MOVED" "who had to move"
order on $((FOLLOWER - 1))
is "$ANSWER" "on $ON" "watchers of node $FOLLOWER"

step "who does not read costs no memory, and gets everything later"
rss() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${PID[$LEADER]}/status"; }
at "$LEADER"
/usr/bin/python3 - <<'PY'
import http.client, json, os, urllib.parse
at = urllib.parse.urlsplit(os.environ["URL"])
c = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
head = {"Authorization": "Bearer " + os.environ["TOKEN"]}
c.request("GET", "/api/v1/mgt/configs?address=acme/shop/prod/app", headers=head)
which = json.load(c.getresponse())["id"]
for i in range(600):
    c.request("POST", f"/api/v1/mgt/configs/{which}/publish",
              json.dumps({"content": f"again {i}"}), head)
    answer = c.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
PY
more 1
all_hear
BEFORE=$(rss)
mkfifo "$WORK/slow.in" "$WORK/slow.out"
/usr/bin/python3 "$HERE/slow.py" acme/shop/prod/app 100 "$VERSION" <"$WORK/slow.in" \
	>"$WORK/slow.out" 2>"$WORK/slow.log" &
SLOW=$!
exec 5>"$WORK/slow.in" 6<"$WORK/slow.out"
read -r -t 120 -u 6 ANSWER || fail "$(tail -n 3 "$WORK/slow.log")"
more 3
all_hear
GROWN=$(($(rss) - BEFORE))
# They are told some 40 MB, of which the kernel keeps what it likes.
[ $GROWN -lt 8000 ] || fail "$GROWN KiB more for those that do not read"
kill -0 "$SLOW" || fail "slow: $(tail -n 3 "$WORK/slow.log")"
echo read >&5
read -r -t 120 -u 6 ANSWER || fail "$(tail -n 3 "$WORK/slow.log")"
is "$ANSWER" read "slow"
wait "$SLOW"

step "all of them were told all of it"
FOLLOWING=$FOLLOW_PID
echo stop >&"${FOLLOW[1]}"
wait "$FOLLOWING" || fail "$(tail -n 5 "$WORK/follow.log")"
