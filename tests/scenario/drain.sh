#!/usr/bin/env bash
# A node that ends says so first, and answers what is on its way: three nodes are
# restarted one after the other under load, and no request fails.
. "$(dirname "$0")/lib.bash"

declare -A PID HTTP RAFT PORT
for n in 1 2 3; do
	RAFT[$n]=127.0.0.1:$(free_port)
	PORT[$n]=$(free_port)
	HTTP[$n]=http://127.0.0.1:${PORT[$n]}
done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"
start_node() {
	local n=$1
	shift
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --node-id "$n" \
		--listen "127.0.0.1:${PORT[$n]}" --raft-listen "${RAFT[$n]}" \
		--peers "$PEERS" --server-loops 2 --cluster-hold 20s \
		--cluster-election-timeout 2s "$@" \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
}
trap 'rc=$?; [ $rc = 0 ] || tail -n 15 "$WORK"/daemon?.log >&2; cleanup' EXIT

for n in 1 2 3; do start_node "$n"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
at 1
make_tenant acme
make_config main hello
yes 201

cat >"$WORK/load.py" <<'PY'
"""Readers and writers on connections that stay open, until a line comes on standard
input.  One that is told to close, or finds its node gone before it has asked, goes to
the next node; a request that was sent must be answered."""
import http.client, json, sys, threading, time
token, ports = sys.argv[1], [int(p) for p in sys.argv[2:]]
stop = threading.Event()
lock = threading.Lock()
failed, written, read, moved = [], [], [0], [0]

def ask(conn, method, path, body=None):
    conn.request(method, path, body, {"Authorization": "Bearer " + token})
    answer = conn.getresponse()
    return answer, answer.read()

def client(first, number, writes):
    at, n, conn = first, 0, None
    while not stop.is_set():
        if conn is None:
            conn = http.client.HTTPConnection("127.0.0.1", ports[at], timeout=60)
            try:
                conn.connect()
            except ConnectionRefusedError:
                at, conn = (at + 1) % len(ports), None
                time.sleep(0.01)
                continue
        name = f"w{number}-{n}"
        try:
            if writes:
                answer, body = ask(conn, "POST", "/api/v1/mgt/configs", json.dumps({
                    "tenant": "acme", "application": "shop", "environment": "prod",
                    "name": name, "format": "text", "content": name}))
            else:
                answer, body = ask(conn, "GET",
                                   "/api/v1/fetch/config/acme/shop/prod/main" +
                                   "?consistency=linearizable" * (number % 2))
        except Exception as e:
            with lock:
                failed.append(f"{'write' if writes else 'read'} at {at}: {e!r}")
            conn = None
            continue
        with lock:
            if answer.status >= 300:
                failed.append(f"{answer.status} at {at}: {body[:200]}")
            elif writes:
                written.append(name)
            else:
                read[0] += 1
        n += 1
        if answer.will_close:
            conn, at = None, (at + 1) % len(ports)
            moved[0] += 1

threads = [threading.Thread(target=client, args=(i % len(ports), i, i >= 6))
           for i in range(9)]
for t in threads:
    t.start()
sys.stdin.readline()
stop.set()
for t in threads:
    t.join()
print(json.dumps({"failed": failed, "written": written, "read": read[0],
                  "moved": moved[0]}))
PY

step "nodes are restarted one after the other under load, the leader among them"
mkfifo "$WORK/stop"
python3 "$WORK/load.py" "$TOKEN" "${PORT[@]}" <"$WORK/stop" >"$WORK/load.json" &
LOAD=$!
exec 7>"$WORK/stop"
for n in 1 2 3; do
	end_node "$n"
	start_node "$n"
	until_ok ready "$n"
done
echo >&7
wait "$LOAD" || fail "the load"
BODY=$(cat "$WORK/load.json")
is "$(field '.failed | length')" 0 "failed requests: $(field '.failed[0:5]')"
[ "$(field .read)" -gt 100 ] && [ "$(field '.written | length')" -gt 10 ] ||
	fail "there was no load"
[ "$(field .moved)" -ge 3 ] || fail "nobody was sent elsewhere"

grep -hq "leadership is handed over" "$WORK"/daemon?.log ||
	fail "no leader handed over"

step "another leads before a leader that is stopped has ended"
leads() { # ID: does it say that it leads?
	curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/api/v1/status" |
		jq -e '.leader_id == .node_id' >/dev/null
}
find_leader() { for n in 1 2 3; do leads "$n" && LEADER=$n && return; done; }
until_ok find_leader
end_node "$LEADER"
NEXT=
for n in "${!PID[@]}"; do leads "$n" && NEXT=$n; done
[ -n "$NEXT" ] || fail "nobody leads when node $LEADER has ended"
start_node "$LEADER"
until_ok ready "$LEADER"

step "what was acknowledged is there, at each node"
jq -r '.written[]' "$WORK/load.json" | sort >"$WORK/written"
for n in 1 2 3; do
	at "$n"
	rev=$(curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[1]}/api/v1/status" |
		jq .revision)
	ask GET "$KUBE/namespaces/acme/confluxconfigs?min_revision=$rev"
	yes 200
	field ".items[].metadata.name" | sed "s/^shop\.prod\.//" | sort >"$WORK/there"
	LOST=$(comm -23 "$WORK/written" "$WORK/there" | head -n 3)
	is "$LOST" "" "lost at node $n"
done

step "with a delay /readyz says no first, and everything is served still"
end_node 3
start_node 3 --server-drain-delay 60s --server-drain-idle 0
until_ok ready 3
kill -TERM "${PID[3]}"
leaves() { [ "$(curl -s -o /dev/null -w '%{http_code}' "${HTTP[3]}/readyz")" = 503 ]; }
until_ok leaves
at 3
ask GET "$URL/readyz?verbose"
has "$BODY" "[-]service ends"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/main"
yes 200
make_config late x
yes 201

step "a second signal ends the delay"
end_node 3
for n in 1 2; do end_node "$n"; done
