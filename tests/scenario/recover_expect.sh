#!/usr/bin/env bash
# Recovery where all nodes are started alike, with --bootstrap-expect, as in a
# StatefulSet whose arguments nobody changes: the survivor is a new cluster of one, the
# others come back empty and found nothing, join it when they are added, and one that
# still has the old cluster's folder is refused.
. "$(dirname "$0")/lib.bash"

declare -A PID HTTP RAFT
for n in 1 2 3; do RAFT[$n]=127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"

# Always the same, whatever has happened.
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 --node-id "$n" \
		--raft-listen "${RAFT[$n]}" --peers "$PEERS" --bootstrap-expect 3 --cluster-hold 20s \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
trap 'rc=$?; [ $rc = 0 ] || tail -n 12 "$WORK"/daemon?.log >&2; cleanup' EXIT
waits() { curl -s "${HTTP[$1]}/readyz?verbose" | grep -q -- "-\]cluster.*$2"; }
cluster_of() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/_cluster/status" | jq -r .cluster_id; }
votes() { conflux cluster status -o json | jq -e ".nodes[] | select(.id == $1) | .role != \"learner\""; }
has_it() { [ "$(conflux fetch acme/shop/prod/kept.txt)" = kept ]; }

step "three nodes find each other"
for n in 1 2 3; do start_node $n; done
for n in 1 2 3; do until_ok ready $n; done
until_ok one_token
TOKEN=$(cat "$WORK"/n[123]/root.token)
export CONFLUX_TOKEN=$TOKEN
OLD=$(cluster_of 1)
at 3
make_tenant acme
make_config kept.txt kept
yes 201
ask GET "$URL/api/v1/status"
REV=$(field .revision)
records() { [ "$(conflux cluster status -o json | jq .cluster_version)" -ge 2 ]; }
until_ok records
reached() { [ "$(curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[3]}/api/v1/status" | jq .revision)" -ge "$REV" ]; }
until_ok reached

step "two lose their folders; without recovery the third lets them not in, and they found nothing"
for n in 1 2 3; do end_node $n KILL; done
cp -r "$WORK/n1" "$WORK/old1"
rm -r "$WORK/n1" "$WORK/n2"
for n in 1 2 3; do start_node $n; done
until_ok waits 1 "had another data directory"
until_ok waits 2 "had another data directory"
is "$(curl -s -o /dev/null -w '%{http_code}' "${HTTP[3]}/readyz")" 503 "the survivor alone is ready"

step "the survivor becomes a new cluster, and is started as ever; the others run"
end_node 3
conflux cluster recover --data-dir "$WORK/n3" --accept-data-loss -o json >"$WORK/recovered" 2>"$WORK/out" ||
	fail "recover: $(cat "$WORK/out")"
NEW=$(jq -r .cluster_id "$WORK/recovered")
[ "$NEW" != "$OLD" ] || fail "the same cluster id"
start_node 3
until_ok ready 3
at 3
is "$(cluster_of 3)" "$NEW" "cluster of the survivor"
is "$(conflux cluster status -o name | wc -l)" 1 members
has_it || fail "what was acknowledged is gone"

step "the empty ones see it, wait, and say what to do"
for n in 1 2; do until_ok waits $n "cluster $NEW exists, and node $n is no member of it: add node $n at ${RAFT[$n]}"; done
for n in 1 2; do is "$(curl -s -o /dev/null -w '%{http_code}' "${HTTP[$n]}/readyz")" 503 "node $n is ready"; done

step "nor while the survivor is away, nor started anew"
end_node 3
for n in 1 2; do end_node $n; start_node $n; done
until_ok waits 1 "2 of 3 nodes are there"
until_ok waits 2 "2 of 3 nodes are there"
start_node 3
until_ok ready 3
at 3

step "a node with the old cluster's folder is refused"
end_node 1
mv "$WORK/n1" "$WORK/empty1"
mv "$WORK/old1" "$WORK/n1"
start_node 1
change_member add 1 "${RAFT[1]}"
refused() { conflux cluster status -o json | jq -e '.nodes[] | select(.id == 1) | .error != "" and (.is_up | not)'; }
until_ok refused
until_ok grep -q "this is cluster" "$WORK/daemon1.log" "$WORK/daemon3.log"
is "$(curl -s -o /dev/null -w '%{http_code}' "${HTTP[1]}/readyz")" 503 "the old member is ready"
# The second of the old two, empty, is not drawn into the old cluster by it.
until_ok waits 2 "cluster"
is "$(cluster_of 3)" "$NEW" "cluster of the survivor"
end_node 1
rm -r "$WORK/n1"
mv "$WORK/empty1" "$WORK/n1"

step "empty they join it, when they were added, and all three vote again"
start_node 1
until_ok ready 1
is "$(cluster_of 1)" "$NEW" "cluster of 1"
change_member promote 1 --force
until_ok votes 1
change_member add 2 "${RAFT[2]}"
until_ok ready 2
change_member promote 2
until_ok votes 2
for n in 1 2 3; do
	at $n
	until_ok has_it
	is "$(cluster_of $n)" "$NEW" "cluster of $n"
done
has "$(conflux audit list --limit 1000 -o json)" "member-add node 2 at ${RAFT[2]}: done"

step "it outlives the survivor, and starts again as ever"
end_node 3 KILL
at 1
until_ok ready 1
until_ok ready 2
written() { make_config after.txt new text -H "Idempotency-Key: after"; [ "$STATUS" = 201 ]; }
until_ok written
for n in 1 2; do end_node $n KILL; done
for n in 3 2 1; do start_node $n; done
for n in 1 2 3; do until_ok ready $n; is "$(cluster_of $n)" "$NEW" "cluster of $n"; done
at 3
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true valid
for n in 1 2 3; do end_node $n; done
