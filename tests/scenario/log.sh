#!/usr/bin/env bash
# What `conflux cluster log` shows of real logs: a cluster whose members change, while
# it runs; no secret; a range; a torn end, a flipped byte and a lost segment, beyond
# which it goes on; an encrypted log with its key and without.  Nothing is touched.
. "$(dirname "$0")/lib.bash"

declare -A PID HTTP RAFT
for n in 1 2 3 5; do RAFT[$n]=127.0.0.1:$(free_port); done
(umask 077 && printf 'first %s\n' "$(openssl rand -base64 32)" >"$WORK/keys")

# start_node ID [flags]
start_node() {
	local n=$1
	shift
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 --node-id "$n" \
		--raft-listen "${RAFT[$n]}" --cluster-hold 20s "$@" 2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
at() {
	export CONFLUX_SERVER=${HTTP[$1]} URL=${HTTP[$1]} KUBE=${HTTP[$1]}/apis/gitops.conflux.io/v1alpha1
	until_ok curl -sf "$URL/readyz"
}
# log FOLDER [flags]: OUT is what it prints, ERR the rest, CODE its exit code.
log() {
	CODE=0
	conflux cluster log --data-dir "$WORK/$1" "${@:2}" >"$WORK/out" 2>"$WORK/err" || CODE=$?
	OUT=$(cat "$WORK/out") ERR=$(cat "$WORK/err")
}
of() { jq -r "$1" <<<"$OUT"; }
# All files with their sizes, times and content.
tree_of() {
	(cd "$1" && find . -type f -printf '%p %s %T@\n' | sort &&
		find wal -type f -exec sha256sum {} + | sort -k2)
}

step "a cluster whose members change"
start_node 1 --peers "1=${RAFT[1]}"
until_ok test -s "$WORK/n1/root.token"
TOKEN=$(cat "$WORK/n1/root.token")
export CONFLUX_TOKEN=$TOKEN
at 1
CLUSTER=$(conflux cluster status -o json | jq -r .cluster_id)
start_node 2 --peers "1=${RAFT[1]}" --cluster-join "$CLUSTER"
waits_to_be_added() { curl -s "${HTTP[2]}/readyz?verbose" |
	grep -q 'leader unknown: node 2 waits to be added .*conflux cluster add 2 HOST:PORT'; }
until_ok waits_to_be_added
change_member add 2 "${RAFT[2]}"
change_member promote 2
start_node 3 --peers "1=${RAFT[1]}" --cluster-join "$CLUSTER"
change_member add 3 "${RAFT[3]}"
change_member remove 3
end_node 3
make_tenant acme
make_config first.txt canary-content
yes 201
SECRET=$(conflux token create ann --read-only 2>/dev/null)
has "$SECRET" cfx_

members='select(.kind == "membership") | [.members[] | "\(.id)=\(.address) \(.role)"] | join(", ")'
one="1=${RAFT[1]} voter" two="2=${RAFT[2]}"
want="$one
$one, $two learner
$one, $two voter
$one, $two voter, 3=${RAFT[3]} learner
$one, $two voter"

step "its running nodes' logs show each membership, and who did what"
log n1 -o json
is "$CODE" 0 "exit code: $ERR"
is "$(of "$members")" "$want" "the memberships"
is "$(of 'select(.kind == "barrier") | .type' | sort -u)" entry "a barrier"
is "$(of 'select(.command == "operations" and .operations[0].kind == "tenants") | "\(.subject) \(.operations[0].verb) \(.operations[0].name)"')" \
	"token:root create acme" "the tenant"
is "$(of '.operations[]? | select(.kind == "confluxconfigs" and .address != null) | .address')" \
	acme/shop/prod/first.txt "the address"
# Where something is being written its end is torn at that moment.
is_whole() { log n1 -o json && [ "$(of 'select(.type == "summary") | "\(.damaged) \(.torn) \(.segments)"')" = "0 0 1" ]; }
until_ok is_whole
log n1
has "$OUT" "3=${RAFT[3]} (learner)"
has "$OUT" "by token:root (root) from 127.0.0.1:"
has "$OUT" "make token ann, read-only"
has "$OUT" ", no damage"
all_there() { log n2 -o json && [ "$(of "$members")" = "$want" ]; }
until_ok all_there

step "no secret is in it"
for form in table wide json; do
	log n1 -o "$form"
	for secret in canary-content "$SECRET" "$TOKEN" "$(printf %s "$SECRET" | sha256sum | cut -c1-64)"; do
		hasnt "$OUT" "$secret"
	done
done

step "while it is written there is no damage, and what was shown stays"
writes() {
	local i=0
	while :; do
		i=$((i + 1))
		head -c $((i % 7 * 9000 + 10)) /dev/zero | tr '\0' x >"$WORK/content.$1"
		conflux publish acme/shop/prod/first.txt -f "$WORK/content.$1" >/dev/null 2>&1 || true
	done
}
writes 1 &
LOAD=$!
LAST=0
grows() {
	log n1 -o json
	is "$CODE" 0 "a running node's log: $ERR"
	is "$(of 'select(.type == "summary") | .damaged')" 0 "damage"
	local now
	now=$(of 'select(.type == "summary") | .last_index')
	[ "$now" -ge "$LAST" ] || fail "entry $LAST is gone, the last is $now"
	LAST=$now
	[ "$LAST" -ge 60 ]
}
until_ok grows
kill "$LOAD"; wait "$LOAD" 2>/dev/null || true

step "a stopped node's folder is not touched"
end_node 2
end_node 1 KILL
tree_of "$WORK/n1" >"$WORK/before"
log n1
is "$CODE" 0 "exit code"
log n1 -o json
tree_of "$WORK/n1" | diff "$WORK/before" - >"$WORK/diff" || fail "changed: $(cat "$WORK/diff")"
ALL=$OUT
SUMMARY=$(of 'select(.type == "summary") | .last_index')

step "a range"
log n1 -o json --first-index 5 --last-index 9
is "$(of 'select(.type == "entry") | .index' | tr '\n' ' ')" "5 6 7 8 9 " "entries"
is "$(of 'select(.type == "summary") | .last_index')" "$SUMMARY" "the summary is of all"
log n1 --first-index 9 --last-index 5
is "$CODE" 2 "a range the wrong way round"
log n1 --first-index five
is "$CODE" 2 "no number"
log n1 -o yaml
is "$CODE" 2 "a form that it does not have"
log nowhere
is "$CODE" 3 "no folder"
has "$ERR" "has no log"
CODE=0
conflux cluster log 2>"$WORK/err" || CODE=$?
is "$CODE" 2 "no folder was named"

# place FIELD: of the last record of more than one block.
place() { jq -rs '[.[] | select(.type == "record" and .blocks > 1)] | last | .'"$1" <<<"$ALL"; }
copy() { rm -rf "$WORK/copy" && cp -r "$WORK/n1" "$WORK/copy"; }
in_copy() { echo "$WORK/copy/wal/$(basename "$(place file)")"; }

step "a torn end is named, and is no damage"
copy
BLOCK=$(($(place offset) / 4096 + $(place blocks) - 1))
SIZE=$(stat -c %s "$(in_copy)")
dd if=/dev/zero of="$(in_copy)" bs=4096 seek="$BLOCK" count=$((SIZE / 4096 - BLOCK)) conv=notrunc status=none
log copy -o json
is "$CODE" 0 "exit code: $ERR"
is "$(of 'select(.type == "torn") | .offset')" "$(place offset)" "where it is torn"
is "$(of 'select(.type == "summary") | "\(.torn) \(.damaged) \(.last_index)"')" \
	"1 0 $(($(place first_index) - 1))" "the summary"
log copy
has "$OUT" "torn: a record that was not written whole"
has "$OUT" "1 torn end, no damage"

step "a flipped byte is named with its place, and what is behind it is shown"
copy
# The first record that brings the tenant; everything else must be there.
AT=$(jq -r 'select(.operations[0].kind? == "tenants") | .offset' <<<"$ALL")
INDEX=$(jq -r 'select(.operations[0].kind? == "tenants") | .index' <<<"$ALL")
flip "$(in_copy)" $((AT + 100))
log copy -o json
is "$CODE" 1 "exit code"
has "$ERR" "is damaged in 1 place"
is "$(of 'select(.type == "damage") | .error')" \
	"$(in_copy): damaged at $AT: the checksum of a record is wrong" "the damage"
diff <(jq -r 'select(.type == "entry") | .index' <<<"$ALL" | grep -vx "$INDEX") \
	<(of 'select(.type == "entry") | .index') >"$WORK/diff" || fail "other entries: $(cat "$WORK/diff")"
log copy
has "$OUT" "DAMAGE: $(in_copy): damaged at $AT"
has "$OUT" ", 1 damage"
# The node says the same, and does not start.
if timeout 30 "$CONFLUX_BIN/confluxd" --data-dir "$WORK/copy" --listen 127.0.0.1:0 --node-id 1 \
	--raft-listen "${RAFT[1]}" --peers "1=${RAFT[1]}" 2>"$WORK/said"; then
	fail "it started"
fi
has "$(cat "$WORK/said")" "damaged at $AT: the checksum of a record is wrong"

step "so is a header, an identity, and a file that is none"
copy
flip "$(in_copy)" 30
flip "$WORK/copy/identity" 20
head -c 9000 /dev/urandom >"$WORK/copy/wal/00000000000000ff.seg"
log copy -o json
is "$CODE" 1 "exit code"
is "$(of 'select(.type == "damage") | .error' | wc -l)" 3 "damages"
diff <(jq -r 'select(.type == "entry") | .index' <<<"$ALL") \
	<(of 'select(.type == "entry") | .index') >"$WORK/diff" || fail "other entries: $(cat "$WORK/diff")"

step "an encrypted log without its key shows records, with it entries"
start_node 5 --peers "5=${RAFT[5]}" --storage-encryption-key-file "$WORK/keys"
until_ok test -s "$WORK/n5/root.token"
TOKEN=$(cat "$WORK/n5/root.token")
export CONFLUX_TOKEN=$TOKEN
at 5
make_tenant umbrella
end_node 5
log n5 -o json
is "$CODE" 5 "exit code"
has "$ERR" "no key file was named"
is "$(of 'select(.type == "entry") | .index')" "" "entries"
[ "$(jq -s 'map(select(.type == "record").entries) | add' <<<"$OUT")" -ge 3 ] || fail "no records"
hasnt "$OUT" umbrella
log n5
has "$OUT" "encrypted, and closed"
log n5 -o json --encryption-key-file "$WORK/keys"
is "$CODE" 0 "exit code: $ERR"
is "$(of 'select(.type == "segment") | .key')" first "the key's name"
is "$(of 'select(.operations[0].kind? == "tenants") | .operations[0].name')" umbrella "the tenant"
