#!/usr/bin/env bash
# Backups of three nodes under writes; a new cluster restored from one, which the
# old members are not let into and a new one joins; sealed backups; damaged ones;
# backups on a schedule.
. "$(dirname "$0")/lib.bash"

declare -A PID HTTP RAFT
for n in 1 2 3 5 6; do RAFT[$n]=127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"

# start_node ID [flags]
start_node() {
	local n=$1
	shift
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 \
		--raft-listen "${RAFT[$n]}" --cluster-hold 20s "$@" 2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
# A configuration's objects with their versions, without what a node adds.
all_of() { conflux get configs -n acme -o json | jq -S '[.items[] | {name: .metadata.name, uid: .metadata.uid, rv: .metadata.resourceVersion, spec, labels: .metadata.labels}]'; }
history_of() { conflux history "acme/shop/prod/$1" -o json | jq -S .; }
tree_of() { (cd "$1" && find . -type f ! -name lock -exec sha256sum {} + | sort -k2); }

step "three nodes, and writes that do not stop"
for n in 1 2 3; do start_node "$n" --node-id "$n" --peers "$PEERS"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n[123]/root.token)
export CONFLUX_TOKEN=$TOKEN
at 1
make_tenant acme
CLUSTER=$(conflux cluster status -o json | jq -r .cluster_id)
for i in $(seq 1 10); do make_config "c$i.txt" "first $i"; yes 201; done
for i in 2 3 4; do echo "c1 version $i" >"$WORK/c1"; conflux publish acme/shop/prod/c1.txt -f "$WORK/c1" >/dev/null; done
(
	set +e
	i=0
	while :; do
		i=$((i + 1))
		curl -s -o /dev/null -w '%{http_code}\n' -X POST -H "Authorization: Bearer $TOKEN" \
			-d '{"tenant":"acme","application":"shop","environment":"load","name":"w'$i'","format":"text","content":"'$i'"}' \
			"${HTTP[2]}/api/v1/mgt/configs" | grep -q 201 && echo "$i" >>"$WORK/acked"
	done
) &
LOAD=$!
until_ok eval '[ "$(wc -l <"$WORK/acked")" -ge 20 ]'

step "a backup at each node has all that was acknowledged before"
for n in 1 2 3; do
	at "$n"
	BEFORE[$n]=$(wc -l <"$WORK/acked")
	cp "$WORK/acked" "$WORK/acked$n"
	conflux cluster backup "$WORK/b$n" 2>"$WORK/out" || fail "backup: $(cat "$WORK/out")"
	has "$(cat "$WORK/out")" verified
	is "$(ls "$WORK" | grep -c part)" 0 "a part is left"
done
goes_on() { [ "$(wc -l <"$WORK/acked")" -gt "${BEFORE[3]}" ]; }
until_ok goes_on
kill "$LOAD"; wait "$LOAD" 2>/dev/null || true
conflux cluster backup - 2>/dev/null >"$WORK/b-out"
is "$(conflux cluster backup verify "$WORK/b-out" -o json | jq -r '"\(.whole) \(.cluster_id) \(.members) \(.sealed)"')" \
	"true $CLUSTER 3 false" "what it says of itself"
REV=$(conflux status -o json | jq .revision)

step "only who may maintain the cluster gets one"
conflux token create reader --read-only >"$WORK/reader"
READER=$(grep -o 'cfx_[A-Za-z0-9_-]*' "$WORK/reader" | head -n 1)
is "$(curl -s -o /dev/null -w '%{http_code}' -X POST -H "Authorization: Bearer $READER" "$URL/_cluster/backup")" 403 "a reader"
is "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$URL/_cluster/backup")" 401 "nobody"

step "what goes away in the middle leaves nothing behind, and the next one is given"
# More than the sockets between hold.
for i in 1 2 3 4 5 6 7 8; do
	head -c 2000000 /dev/urandom | base64 -w 0 >"$WORK/large"
	jq -n --rawfile c "$WORK/large" --arg n "large$i" '{tenant: "acme", application: "shop",
		environment: "prod", name: $n, format: "text", content: $c}' >"$WORK/large.json"
	ask POST "$URL/api/v1/mgt/configs" --data-binary "@$WORK/large.json"
	yes 201
done
# The one before may still be on its way out, so it is asked for again until it comes.
curl -s --fail --retry 60 --retry-delay 1 --max-time 60 --limit-rate 1k -X POST \
	-H "Authorization: Bearer $TOKEN" "$URL/_cluster/backup" -o "$WORK/slow" &
CURL=$!
until_ok test -s "$WORK/slow"
busy() { is_busy=$(curl -s -X POST -H "Authorization: Bearer $TOKEN" "$URL/_cluster/backup" -o /dev/null -w '%{http_code}'); [ "$is_busy" = "$1" ]; }
until_ok busy 503
kill -KILL "$CURL"; wait "$CURL" 2>/dev/null || true
until_ok busy 200
open_pictures() { ls -l "/proc/${PID[3]}/fd" | grep -c 'ckpt' || true; }
until_ok eval '[ "$(open_pictures)" = 0 ]'

step "a new cluster of the backup of node 2"
at 2
all_of >"$WORK/all.now"
history_of c1.txt >"$WORK/history.now"
conflux cluster restore "$WORK/b2" --data-dir "$WORK/n5" --node-id 5 --address "${RAFT[5]}" \
	-o json >"$WORK/restored" 2>"$WORK/out" || fail "restore: $(cat "$WORK/out")"
NEW=$(jq -r .cluster_id "$WORK/restored")
[ "$NEW" != "$CLUSTER" ] || fail "the same cluster id"
start_node 5 --node-id 5 --peers "5=${RAFT[5]}" --cluster-join "$NEW"
until_ok ready 5
at 5
is "$(conflux cluster status -o json | jq -r '"\(.cluster_id) \(.nodes | length)"')" "$NEW 1" "the new cluster"
all_of >"$WORK/all.new"
# All that was there before it is there, object for object.
jq -e --slurpfile now "$WORK/all.now" '. - $now[0] == []' "$WORK/all.new" >/dev/null || fail "objects that never were"
history_of c1.txt | diff - "$WORK/history.now" >"$WORK/out" || fail "versions: $(cat "$WORK/out")"
for i in $(seq 1 10); do
	[ "$i" = 1 ] || is "$(conflux fetch "acme/shop/prod/c$i.txt")" "first $i" "content"
done
is "$(conflux fetch acme/shop/prod/c1.txt)" "c1 version 4" "content"
conflux get configs -n acme -o json | jq -r '.items[].spec | select(.environment == "load") | .name // .configName // empty' >"$WORK/names"
while read -r i; do
	is "$(conflux fetch "acme/shop/load/w$i")" "$i" "an acknowledged write is lost"
done <"$WORK/acked2"
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true "audit chain"
conflux audit list --limit 1000 -o json >"$WORK/audit"
has "$(cat "$WORK/audit")" "a backup of cluster $CLUSTER"

step "revisions go on 2^32 later, and watchers from before are told so"
NOW=$(conflux status -o json | jq .revision)
[ "$NOW" -gt $((REV + 4294967296 - 100000)) ] || fail "revision $NOW"
for since in 1 "$REV" $((NOW - 1)); do
	ask GET "$URL/api/v1/watch?prefix=&since=$since"
	yes 410
done
make_config after.txt new
yes 201
[ "$(conflux status -o json | jq .revision)" -gt "$NOW" ] || fail "no new revision"

step "the old members and the new one do not talk; a new one joins it empty"
start_node 6 --node-id 6 --peers "5=${RAFT[5]}" --cluster-join "$NEW"
at 5
change_member add 6 "${RAFT[6]}"
until_ok ready 6
at 6
joined() { [ "$(conflux fetch acme/shop/prod/after.txt)" = new ]; }
until_ok joined
is "$(conflux fetch acme/shop/prod/c1.txt)" "c1 version 4" "at the one that joined"
at 5
change_member add 3 "${RAFT[3]}"
refused() { conflux cluster status -o json | jq -e '.nodes[] | select(.id == 3) | .error != "" and (.is_up | not)'; }
until_ok refused
at 1
is "$(conflux cluster status -o json | jq -r '"\(.cluster_id) \(.nodes | length)"')" "$CLUSTER 3" "the old cluster"
if conflux fetch acme/shop/prod/after.txt 2>/dev/null; then fail "the old cluster has what the new one wrote"; fi
for n in 5 6; do end_node "$n"; done

step "a flipped byte: nothing is touched"
tree_of "$WORK/n5" >"$WORK/before"
SIZE=$(stat -c %s "$WORK/b1")
for at_byte in 20 200 $((SIZE / 2)) $((SIZE - 3)); do
	cp "$WORK/b1" "$WORK/bad"
	flip "$WORK/bad" "$at_byte"
	for dir in n5 fresh; do
		if conflux cluster restore "$WORK/bad" --data-dir "$WORK/$dir" --move-aside 2>"$WORK/out"; then
			fail "a damaged backup was restored (byte $at_byte)"
		fi
	done
	if conflux cluster backup verify "$WORK/bad" >/dev/null 2>&1; then fail "byte $at_byte is not found"; fi
done
tree_of "$WORK/n5" | diff - "$WORK/before" >/dev/null || fail "the folder was touched"
[ ! -e "$WORK/fresh" ] || fail "a folder was made"
head -c $((SIZE - 1)) "$WORK/b1" >"$WORK/bad"
if conflux cluster backup verify "$WORK/bad" 2>"$WORK/out"; then fail "a cut is not found"; fi
has "$(cat "$WORK/out")" "cut off"

step "a folder in use is refused, and moved aside where that is said"
if conflux cluster restore "$WORK/b1" --data-dir "$WORK/n5" 2>"$WORK/out"; then fail "it took a folder in use"; fi
has "$(cat "$WORK/out")" "not empty"
has "$(cat "$WORK/out")" "move-aside"
if conflux cluster restore "$WORK/b1" --data-dir "$WORK/n1" --move-aside 2>"$WORK/out"; then fail "it took a running node's"; fi
has "$(cat "$WORK/out")" "another process"
conflux cluster restore "$WORK/b1" --data-dir "$WORK/n5" --move-aside >/dev/null 2>&1
[ -d "$WORK"/n5/before-restore-*/wal ] || fail "what was there is gone"

step "a sealed one opens with the private half alone"
for k in one two; do
	openssl genpkey -algorithm X25519 -out "$WORK/$k.key" 2>/dev/null
	openssl pkey -in "$WORK/$k.key" -pubout -out "$WORK/$k.pub" 2>/dev/null
	chmod 600 "$WORK/$k.key"
done
at 1
make_config secret.txt "the-canary-of-this-test"
yes 201
conflux cluster backup "$WORK/plain" 2>/dev/null
conflux cluster backup "$WORK/sealed" --recipient "$WORK/one.pub" 2>/dev/null
grep -q the-canary-of-this-test "$WORK/plain" || fail "the canary is nowhere"
if grep -q the-canary-of-this-test "$WORK/sealed"; then fail "the canary is in the sealed one"; fi
if conflux cluster backup verify "$WORK/sealed" 2>"$WORK/out"; then fail "it opens without a key"; fi
has "$(cat "$WORK/out")" "sealed"
if conflux cluster restore "$WORK/sealed" --data-dir "$WORK/n7" --key "$WORK/two.key" 2>"$WORK/out"; then
	fail "it opens with another key"
fi
[ ! -e "$WORK/n7" ] || fail "a folder was made"
conflux cluster restore "$WORK/sealed" --data-dir "$WORK/n7" --key "$WORK/one.key" >/dev/null 2>&1 || fail "restore"
cp "$WORK/sealed" "$WORK/bad"
flip "$WORK/bad" 5000
if conflux cluster backup verify "$WORK/bad" --key "$WORK/one.key" 2>/dev/null; then fail "a sealed one was altered unseen"; fi
for n in 1 2 3; do end_node "$n"; done

step "it is served by a node alone, with the old root token"
DATA=$WORK/n7
"$CONFLUX_BIN/confluxd" --data-dir "$DATA" --listen 127.0.0.1:0 --backup-dir "$WORK/kept" \
	--backup-interval 1s --backup-keep 2 --backup-recipient "$WORK/one.pub" 2>>"$WORK/daemon.log" &
PID[7]=$!
until_ok test -s "$DATA/confluxd.listen"
HTTP[7]=http://$(cat "$DATA/confluxd.listen")
at 7
until_ok ready 7
is "$(conflux fetch acme/shop/prod/secret.txt)" "the-canary-of-this-test" "content"

step "backups on a schedule: sealed, the newest two are kept"
made() { [ "$(conflux cluster backup status -o json | jq .made)" -ge "$1" ]; }
until_ok made 4
kept() { ls "$WORK/kept" | grep -c 'backup$'; }
until_ok eval '[ "$(kept)" = 2 ]'
for f in "$WORK"/kept/*.backup; do
	conflux cluster backup verify "$f" --key "$WORK/one.key" >/dev/null 2>"$WORK/out" || {
		[ -e "$f" ] && fail "$f: $(cat "$WORK/out")"
	}
done
ask GET "$URL/metrics"
[ "$(sed -n 's/^conflux_backup_total //p' <<<"$BODY")" -ge 4 ] || fail "metric"
is "$(sed -n 's/^conflux_backup_failing //p' <<<"$BODY")" 0 failing

step "where it cannot be written that is told, and it goes on when it can"
# The schedule makes the folder anew, each second.
until rm -rf "$WORK/kept" && (set -C; : >"$WORK/kept"); do :; done 2>/dev/null
failing() { [ "$(conflux cluster backup status -o json | jq '.failed_ms > 0')" = "$1" ]; }
until_ok failing true
has "$(conflux cluster backup status -o json)" "kept"
make_config goes-on.txt yes
yes 201
rm "$WORK/kept"
until_ok failing false
end_node 7

step "a node that is new takes one over HTTP, and starts again with it"
mkdir "$WORK/given"
cp "$WORK/plain" "$WORK/given/plain.backup"
cp "$WORK/sealed" "$WORK/given/sealed.backup"
head -c 100000 "$WORK/plain" >"$WORK/given/cut.backup"
DATA=$WORK/n8
PORT=$(free_port)
"$CONFLUX_BIN/confluxd" --data-dir "$DATA" --listen "127.0.0.1:$PORT" --backup-dir "$WORK/given" \
	--backup-interval 365d 2>>"$WORK/daemon.log" &
PID[8]=$!
HTTP[8]=http://127.0.0.1:$PORT
at 8
until_ok test -s "$DATA/root.token"
until_ok ready 8
OLD=$TOKEN
TOKEN=$(cat "$DATA/root.token")
restore() { ask POST "$URL/_cluster/restore" -d "{\"file\": \"$1\"}"; }
restore cut.backup
yes 500
has "$BODY" "cut off"
restore sealed.backup
yes 403
restore ../plain
yes 400
restore missing.backup
yes 404
step "not where somebody was given a token: it would be lost"
CONFLUX_TOKEN=$TOKEN conflux token create somebody >/dev/null
restore plain.backup
yes 409
has "$BODY" "not new"
CONFLUX_TOKEN=$TOKEN conflux token delete somebody >/dev/null
restore plain.backup
yes 200
NEW=$(field .cluster_id)
TOKEN=$OLD
export CONFLUX_TOKEN=$TOKEN
restored() { [ "$(conflux cluster status -o json | jq -r .cluster_id)" = "$NEW" ]; }
until_ok restored
until_ok ready 8
is "$(conflux fetch acme/shop/prod/secret.txt)" "the-canary-of-this-test" "content"
[ -d "$DATA"/before-restore-*/wal ] || fail "what was there is gone"
restore plain.backup
yes 409
has "$BODY" "not new"
is "$(kill -0 "${PID[8]}" && echo runs)" runs "the process"
end_node 8
