#!/usr/bin/env bash
# Three nodes under load, two of them destroyed: the third is surveyed, compared and
# recovered as a new cluster with every acknowledged write; watchers from before are
# told, an old member is refused, a new one joins.
. "$(dirname "$0")/lib.bash"

declare -A PID HTTP RAFT
for n in 1 2 3 4; do RAFT[$n]=127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"
(printf 'first '; openssl rand -base64 32) >"$WORK/keys"
chmod 600 "$WORK/keys"

# start_node ID [flags]
start_node() {
	local n=$1
	shift
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 --node-id "$n" \
		--storage-encryption-key-file "$WORK/keys" \
		--raft-listen "${RAFT[$n]}" --cluster-hold 20s "$@" 2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
# recover DIR [flags]: OUT is all that it says, CODE its exit code.
recover() {
	CODE=0
	OUT=$(conflux cluster recover --data-dir "$WORK/$1" --encryption-key-file "$WORK/keys" "${@:2}" 2>&1) || CODE=$?
}
tree_of() { (cd "$1" && find . -type f ! -name lock -exec sha256sum {} + | sort -k2); }

step "three nodes, and writes that do not stop"
for n in 1 2 3; do start_node "$n" --peers "$PEERS"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n[123]/root.token)
export CONFLUX_TOKEN=$TOKEN
at 1
make_tenant acme
CLUSTER=$(conflux cluster status -o json | jq -r .cluster_id)
for n in first unsure; do make_config $n.txt "$n"; yes 201; done
writes() {
	local i=0
	set +e
	while :; do
		i=$((i + 1))
		curl -s -o /dev/null -w '%{http_code}\n' -X POST -H "Authorization: Bearer $TOKEN" \
			-d '{"tenant":"acme","application":"shop","environment":"load","name":"w'$i'","format":"text","content":"'$i'"}' \
			"${HTTP[2]}/api/v1/mgt/configs" | grep -q 201 && echo "$i" >>"$WORK/acked"
	done
}
writes &
LOAD=$!
acked() { [ "$(wc -l <"$WORK/acked")" -ge "$1" ]; }
until_ok acked 40

step "the first one ends early; two go on, and then there is one"
end_node 1 KILL
MORE=$(($(wc -l <"$WORK/acked") + 40))
until_ok acked "$MORE"
at 2
REV=$(conflux status -o json | jq .revision)
# What is acknowledged then is in a majority: in both that are left.
end_node 2 KILL
kill "$LOAD"; wait "$LOAD" 2>/dev/null || true
at 3
# Nobody is told of this one: it may be there later, or not.
CODE=0
echo later >"$WORK/later"
conflux publish acme/shop/prod/unsure.txt -f "$WORK/later" --timeout 2s >/dev/null 2>&1 || CODE=$?
[ "$CODE" != 0 ] || fail "one of three takes writes"
recover n3
is "$CODE" 7 "a running node's folder"
has "$OUT" "another process"
end_node 3 KILL

step "without the admission it says what is there, and does nothing"
recover n3
is "$CODE" 6 "exit code"
has "$OUT" "node 3 of cluster $CLUSTER"
has "$OUT" "1=${RAFT[1]} 2=${RAFT[2]} 3=${RAFT[3]}"
has "$OUT" "lost is what is not in this log"
has "$OUT" "--accept-data-loss"
tree_of "$WORK/n3" >"$WORK/before"
recover n3
tree_of "$WORK/n3" | diff - "$WORK/before" >/dev/null || fail "the folder was touched"
CODE=0
OUT=$(conflux cluster recover --data-dir "$WORK/n3" --accept-data-loss 2>&1) || CODE=$?
is "$CODE" 5 "without the key"
has "$OUT" "first"
recover nowhere
is "$CODE" 3 "no folder"

step "of two survivors the one with the newer log is to be taken"
cp -r "$WORK/n1" "$WORK/old1"
recover n1 --compare "$WORK/n3" --accept-data-loss
is "$CODE" 6 "the older one was taken"
has "$OUT" "n3 is the better survivor"
recover n3 --compare "$WORK/n1"
has "$OUT" "none of them has more than"
is "$CODE" 6 "exit code"

step "two are destroyed; the third becomes a new cluster with all that was acknowledged"
rm -r "$WORK/n2"
conflux cluster recover --data-dir "$WORK/n3" --encryption-key-file "$WORK/keys" --accept-data-loss \
	-o json >"$WORK/recovered" 2>"$WORK/out" || fail "recover: $(cat "$WORK/out")"
NEW=$(jq -r .cluster_id "$WORK/recovered")
[ "$NEW" != "$CLUSTER" ] || fail "the same cluster id"
has "$(cat "$WORK/out")" "--peers 3=${RAFT[3]} --cluster-join $NEW"
[ -d "$WORK"/n3/before-restore-"${NEW%%-*}"/wal ] || fail "what was there is gone"
start_node 3 --peers "3=${RAFT[3]}" --cluster-join "$NEW"
until_ok ready 3
at 3
is "$(conflux cluster status -o json | jq -r '"\(.cluster_id) \(.nodes | length)"')" "$NEW 1" "the new cluster"
while read -r i; do
	is "$(conflux fetch "acme/shop/load/w$i")" "$i" "an acknowledged write is lost"
done <"$WORK/acked"
is "$(conflux fetch acme/shop/prod/first.txt)" first "content"
UNSURE=$(conflux fetch acme/shop/prod/unsure.txt)
[ "$UNSURE" = unsure ] || is "$UNSURE" later "the write that nobody was told of"
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true "audit chain"
has "$(conflux audit list --limit 1000 -o json)" "node 3 of cluster $CLUSTER, which lost its majority"

step "revisions go on 2^32 later, and watchers from before are told so"
NOW=$(conflux status -o json | jq .revision)
[ "$NOW" -ge $((REV + 4294967296)) ] || fail "revision $NOW behind $REV"
for since in 1 "$REV" $((NOW - 1)); do
	ask GET "$URL/api/v1/watch?prefix=&since=$since"
	yes 410
done
make_config after.txt new
yes 201

step "a new member joins empty; one of the old cluster is refused"
start_node 4 --peers "3=${RAFT[3]}" --cluster-join "$NEW"
at 3
change_member add 4 "${RAFT[4]}"
until_ok ready 4
at 4
joined() { [ "$(conflux fetch acme/shop/prod/after.txt)" = new ]; }
until_ok joined
at 3
change_member promote 4
start_node 1 --peers "$PEERS"
change_member add 1 "${RAFT[1]}"
refused() { conflux cluster status -o json | jq -e '.nodes[] | select(.id == 1) | .error != "" and (.is_up | not)'; }
until_ok refused
is "$(curl -s -o /dev/null -w '%{http_code}' "${HTTP[1]}/readyz")" 503 "the old member is ready"
make_config last.txt yes
yes 201
for n in 1 3 4; do end_node "$n"; done
