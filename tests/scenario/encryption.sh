#!/usr/bin/env bash
# Encryption at rest: switched on for a node with data, keys rotated, wrong ones
# refused, off and on again; a backup restored with keys, and nodes that join with
# keys of their own and without.  What was published is looked for in all files of
# log and checkpoints, and is found where there are no keys.
. "$(dirname "$0")/lib.bash"

declare -A PID HTTP RAFT
for n in 1 5 6 7; do RAFT[$n]=127.0.0.1:$(free_port); done

new_key() { printf '%s %s' "$1" "$(openssl rand -base64 32)"; }
# keys FILE LINE...
keys() {
	local file=$WORK/$1
	shift
	rm -f "$file"
	(umask 077 && printf '%s\n' "$@" >"$file")
}
ONE=$(new_key one) TWO=$(new_key two)

# node_flags ID: all nodes but 1 are of the cluster that is restored.
node_flags() {
	FLAGS=(--data-dir "$WORK/n$1" --listen 127.0.0.1:0 --node-id "$1" --raft-listen "${RAFT[$1]}"
		--cluster-ship-rate 1MiB)
	if [ "$1" = 1 ]; then
		FLAGS+=(--peers "1=${RAFT[1]}")
	else
		FLAGS+=(--peers "5=${RAFT[5]}" --cluster-join "$NEW")
	fi
}
# start_node ID [flags]
start_node() {
	local n=$1
	shift
	node_flags "$n"
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" "${FLAGS[@]}" "$@" 2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
# refused TEXT [flags]: node 1 does not start, and says so.
refused() {
	local text=$1
	shift
	node_flags 1
	if timeout 30 "$CONFLUX_BIN/confluxd" "${FLAGS[@]}" "$@" 2>"$WORK/said"; then
		fail "it started"
	fi
	has "$(cat "$WORK/said")" "$text"
}
at() {
	export CONFLUX_SERVER=${HTTP[$1]} URL=${HTTP[$1]} KUBE=${HTTP[$1]}/apis/gitops.conflux.io/v1alpha1
	until_ok curl -sf "$URL/readyz"
}
status_is() {
	ask GET "$URL/_cluster/status"
	yes 200
	is "$(field '"\(.is_encrypted) \(.encryption_key)"')" "$1" "what the node says"
}
tree_of() { (cd "$1" && find wal checkpoints -type f -exec sha256sum {} + | sort -k2); }

# Files come and go while they are looked at; what is gone holds nothing.
found() { grep -rqsF "$@"; }
there() { found "$@" || fail "not found: $*"; }
gone() { if found "$@"; then fail "found: $1 in $(grep -rlsF "$@")"; fi; }

# publish CANARY: 200 kB, new each time, with the canary in each line.
publish() {
	head -c 110000 /dev/urandom | base64 -w 60 | sed "s/^/$1 /" >"$WORK/content"
	conflux publish acme/shop/prod/big.txt -f "$WORK/content" >"$WORK/out" 2>&1 ||
		fail "publish: $(cat "$WORK/out")"
}
same() { conflux fetch acme/shop/prod/big.txt | cmp - "$WORK/content"; }
newest() { find "$WORK/n1/checkpoints" -name '*.meta' | sort | tail -n 1; }
# publish_more TIMES CANARY, and a checkpoint of it: a backup is made of a new one.
publish_more() {
	local was
	was=$(newest)
	for _ in $(seq 1 "$1"); do publish "$2"; done
	conflux cluster backup "$WORK/backup" 2>"$WORK/out" || fail "backup: $(cat "$WORK/out")"
	[ "$(newest)" != "$was" ] || fail "no checkpoint"
}

step "without keys, what was published can be read on the disk"
start_node 1
until_ok test -s "$WORK/n1/root.token"
TOKEN=$(cat "$WORK/n1/root.token")
export CONFLUX_TOKEN=$TOKEN
at 1
make_tenant acme
make_config big.txt first
yes 201
status_is "false "
publish_more 8 canary-plain
there canary-plain "$WORK/n1/wal"
there canary-plain "$WORK/n1/checkpoints"
end_node 1

step "a key file that others may read, and none where there must be one, are refused"
keys k1 "$ONE"
chmod 644 "$WORK/k1"
refused "others than its owner may use it (mode 644)" --storage-encryption-key-file "$WORK/k1"
has "$(cat "$WORK/said")" "chmod 600"
chmod 600 "$WORK/k1"
refused "storage.encryption_key_file is not set" --storage-encryption always

step "switched on: what was there is read, what is new is encrypted"
start_node 1 --storage-encryption-key-file "$WORK/k1"
at 1
status_is "true one"
[ "$(field .other_segments)" -ge 1 ] || fail "no plain segment is counted"
same || fail "another content"
publish_more 4 canary-one
publish_more 4 canary-one
same || fail "another content"
gone canary-one "$WORK/n1/wal" "$WORK/n1/checkpoints"
# Two are kept: the plain one is gone.  The log still reaches back.
until_ok eval '! found canary-plain "$WORK/n1/checkpoints"'
there canary-plain "$WORK/n1/wal"
ask GET "$URL/metrics"
is "$(sed -n 's/^conflux_encryption_on //p' <<<"$BODY")" 1 metric
end_node 1

step "keys are rotated: a new one on top, the other one opens what is old"
keys k21 "$TWO" "$ONE"
start_node 1 --storage-encryption-key-file "$WORK/k21"
at 1
status_is "true two"
[ "$(field .other_segments)" -ge 2 ] || fail "no segment of the first key is counted"
same || fail "another content"
publish_more 4 canary-two
same || fail "another content"
gone canary-one "$WORK/n1/wal" "$WORK/n1/checkpoints"
gone canary-two "$WORK/n1/wal" "$WORK/n1/checkpoints"
end_node 1

step "without the right keys it does not start, says which is missing, and changes nothing"
tree_of "$WORK/n1" >"$WORK/before"
keys k2 "$TWO"
refused 'it is sealed with the key "one", which is not in the key file' \
	--storage-encryption-key-file "$WORK/k2"
has "$(cat "$WORK/said")" "put the key's line back"
keys wrong "$TWO" "$(new_key one)"
refused 'the key "one" does not open it' --storage-encryption-key-file "$WORK/wrong"
has "$(cat "$WORK/said")" "put back the line that the key file had"
refused 'is sealed with the key "'
tree_of "$WORK/n1" | diff "$WORK/before" - >"$WORK/out" || fail "changed: $(cat "$WORK/out")"

step "switched off with the keys left: what is new is plain, what was encrypted is read"
start_node 1 --storage-encryption-key-file "$WORK/k21" --storage-encryption never
at 1
status_is "false "
same || fail "another content"
publish canary-off
there canary-off "$WORK/n1/wal"
gone canary-two "$WORK/n1/wal" "$WORK/n1/checkpoints"
end_node 1

step "and on again"
start_node 1 --storage-encryption-key-file "$WORK/k21"
at 1
status_is "true two"
same || fail "another content"
publish canary-again
gone canary-again "$WORK/n1/wal" "$WORK/n1/checkpoints"
conflux audit verify >/dev/null || fail "the audit chain is broken"

step "a backup is restored with keys, and nothing of it is plain; without, it is"
conflux cluster backup "$WORK/backup" 2>/dev/null
there canary-again "$WORK/backup"
end_node 1
keys k5 "$(new_key five)"
chmod 640 "$WORK/k5"
restore() { conflux cluster restore "$WORK/backup" --data-dir "$WORK/$1" --node-id 5 --address "${RAFT[5]}" -o json "${@:2}" 2>"$WORK/out"; }
if restore n5 --encryption-key-file "$WORK/k5"; then fail "others may read the keys"; fi
has "$(cat "$WORK/out")" "chmod 600"
[ ! -e "$WORK/n5" ] || fail "a folder was made"
chmod 600 "$WORK/k5"
restore n5 --encryption-key-file "$WORK/k5" >"$WORK/restored" || fail "restore: $(cat "$WORK/out")"
has "$(cat "$WORK/out")" "--storage-encryption-key-file $WORK/k5"
NEW=$(jq -r .cluster_id "$WORK/restored")
restore plain >/dev/null || fail "restore: $(cat "$WORK/out")"
hasnt "$(cat "$WORK/out")" "encryption"
there canary-again "$WORK/plain/checkpoints"
# The live state is not encrypted.
gone canary- "$WORK/n5" --exclude-dir=state

step "the restored node serves it, with these keys alone"
start_node 5 --storage-encryption-key-file "$WORK/k5" --storage-encryption always
at 5
status_is "true five"
same || fail "another content"
gone canary- "$WORK/n5/wal" "$WORK/n5/checkpoints"

step "one that joins with a key of its own: what it receives is encrypted as it comes"
keys k6 "$(new_key six)"
start_node 6 --storage-encryption-key-file "$WORK/k6"
change_member add 6 "${RAFT[6]}"
part_of() { find "$WORK/n$1/checkpoints" -name '*.part' -size +1M | grep -q .; }
until_ok part_of 6
gone canary- "$WORK/n6/wal" "$WORK/n6/checkpoints"
at 6
status_is "true six"
same || fail "another content"
gone canary- "$WORK/n6/wal" "$WORK/n6/checkpoints"

step "one that joins without keys receives the same in plain"
start_node 7
at 5
change_member add 7 "${RAFT[7]}"
until_ok found canary- "$WORK/n7/checkpoints" --include='*.part'
at 7
status_is "false "
same || fail "another content"
there canary- "$WORK/n7/checkpoints"
at 5
publish canary-last
at 6
until_ok same
gone canary- "$WORK/n5/wal" "$WORK/n5/checkpoints" "$WORK/n6/wal" "$WORK/n6/checkpoints"
at 7
until_ok same
there canary-last "$WORK/n7/wal"
for n in 5 6 7; do end_node "$n"; done
