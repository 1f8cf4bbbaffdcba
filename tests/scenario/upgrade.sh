#!/usr/bin/env bash
# A rolling upgrade: three nodes of an old program become three of a new one, one
# after the other, under load, led by an old one and by a new one. Checkpoints cross
# between the versions both ways, an old node is a learner of a new leader, watchers miss
# nothing from the first to the last, and the old program's backup becomes a cluster of
# the new one. Going back works until the cluster's version has grown, and is refused from
# then on.
#
# The old program is the release build of this tree, the new one its test build,
# which is told to know one cluster version more. Another old one:
#
#	make check T=scenario/upgrade UPGRADE_FROM=v0.3.0     # any commit
#
# builds that commit (once; below the build folder), and the new one is then the
# release build of this tree.
. "$(dirname "$0")/lib.bash"

: "${CONFLUX_BUILD:?}"
declare -A PID HTTP IS PORT
step "the programs"
if [ -n "${UPGRADE_FROM:-}" ]; then
	COMMIT=$(git rev-parse --verify --quiet "$UPGRADE_FROM^{commit}") ||
		fail "UPGRADE_FROM=$UPGRADE_FROM is no commit of this repository"
	TREE=$(realpath "$CONFLUX_BUILD")/old/$COMMIT
	if [ ! -x "$TREE/build/release/bin/confluxd" ]; then
		rm -rf "$TREE" && mkdir -p "$TREE"
		git archive "$COMMIT" | tar -x -C "$TREE"
		make -C "$TREE" >"$WORK/make.log" 2>&1 ||
			{ tail -n 20 "$WORK/make.log" >&2; fail "$COMMIT does not build"; }
	fi
	OLD=$TREE/build/release/bin/confluxd NEW=$CONFLUX_BIN/confluxd
	NEWER=
else
	need_test_build
	OLD=$CONFLUX_BIN/confluxd NEW=$TEST_BUILD/confluxd
	NEWER=version.next=error
fi

PEERS=
for n in 1 2 3; do PEERS=$PEERS,$n=127.0.0.1:$(free_port); done
PEERS=${PEERS#,}
RAFT4=127.0.0.1:$(free_port) RAFT5=127.0.0.1:$(free_port)
for n in 1 2 3 4 5; do PORT[$n]=$(free_port); done
raft_address() { sed "s/.*\b$1=\([^,]*\).*/\1/" <<<"$PEERS,4=$RAFT4,5=$RAFT5"; }

# start_node ID old|new [flags]
start_node() {
	local n=$1 program=$OLD failpoints=
	IS[$n]=$2
	shift
	[ "$1" = old ] || { program=$NEW failpoints=$NEWER; }
	shift
	rm -f "$WORK/n$n/confluxd.listen"
	CONFLUX_FAILPOINTS=$failpoints "$program" --data-dir "$WORK/n$n" \
		--listen "127.0.0.1:${PORT[$n]}" --node-id "$n" \
		--raft-listen "$(raft_address "$n")" --peers "$PEERS" \
		--storage-checkpoint-log 1MiB --server-heartbeat 500ms \
		--cluster-election-timeout 1s --cluster-hold 20s "$@" \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
	cp "$WORK/n$n/confluxd.listen" "$WORK/http$n"
}
stop_node() {
	rm -f "$WORK/http$1"
	kill -"${2:-TERM}" "${PID[$1]}"
	wait "${PID[$1]}" 2>/dev/null || true
	unset "PID[$1]"
}
get() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}$2"; }
leader() { get "$1" /_cluster/status | jq -r .leader_id; }
leads() { [ "$(leader "$1")" = "$1" ]; }
metric() { get "$1" /metrics | sed -n "s/^$2 //p"; }
installed() { [ "$(metric "$1" conflux_checkpoints_installed_total)" -ge 1 ]; }
# Entries that change nothing, until node L has cut off of its log what comes behind entry
# HAS: it keeps 2 * 8,192 entries before its newest checkpoint, and the older one.
is_cut() { # L HAS
	local older
	older=$(find "$WORK/n$1/checkpoints" -name '*.meta' -printf '%f\n' | sort | tail -n 2 |
		head -n 1 | sed 's/-.*//; s/^0*//')
	[ "$older" -gt "$2" ] && [ "$(get "$1" /_cluster/status | jq .checkpoint_index)" -gt $(($2 + 16384)) ]
}
outgrow() { # L HAS
	local i
	jq -n '{tenant: "acme", application: "shop", environment: "prod", name: "c.txt",
		format: "text", content: ("x" * 400)}' >"$WORK/taken"
	for i in $(seq 200); do
		h2load -n "$([ "$i" = 1 ] && echo 17000 || echo 1000)" -c 2 -m 64 -d "$WORK/taken" \
			-H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/api/v1/mgt/configs" \
			>"$WORK/h2load"
		has "$(cat "$WORK/h2load")" " 0 errored, 0 timeout"
		! is_cut "$1" "$2" || return 0
	done
	fail "the log of $1 still has what follows $2"
}
version() { get "$1" /_cluster/status | jq -r .cluster_version; }
knows() { get "$1" /_cluster/status | jq -r .supported_version; }
replace() {
	step "  node $1: $2"
	stop_node "$1" "${3:-TERM}"
	start_node "$1" "$2"
	until_ok ready "$1"
}
trap 'rc=$?; [ $rc = 0 ] || tail -n 15 "$WORK"/daemon?.log >&2; cleanup' EXIT

step "three old nodes, and a writer that never stops"
for n in 1 2 3; do start_node $n old; done
for n in 1 2 3; do until_ok ready $n; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
URL=${HTTP[1]} KUBE=${HTTP[1]}/apis/gitops.conflux.io/v1alpha1
make_tenant acme
make_config c.txt 0
yes 201
ID=$(field .id)
FIRST=$(field .revision)
mkfifo "$WORK/order"
TOKEN=$TOKEN SINCE=$FIRST VERSION=1 /usr/bin/python3 "$(dirname "$0")/watch/follow.py" \
	acme/shop/prod/c.txt 9 "${HTTP[1]}" "${HTTP[2]}" "${HTTP[3]}" \
	<"$WORK/order" >"$WORK/watched" 2>"$WORK/watch.log" &
WATCH=$!
exec {ORDERS}>"$WORK/order"

# Publishes 1, 2, 3, ... each at some node until one says yes; each has a key, so
# that it happens once. The last that was acknowledged is in $WORK/acked.
echo 0 >"$WORK/acked"
write_on() {
	local n=0 node
	while [ ! -e "$WORK/enough" ]; do
		n=$((n + 1))
		node=$((n % 3 + 1))
		until [ -e "$WORK/enough" ] || { [ -s "$WORK/http$node" ] &&
			curl -sf --max-time 5 -o /dev/null -X POST \
			-H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: k$n" \
			-d "{\"content\": \"$n\"}" \
			"http://$(cat "$WORK/http$node")/api/v1/mgt/configs/$ID/publish"; }; do
			node=$((node % 3 + 1))
			sleep 0.02
		done
		[ -e "$WORK/enough" ] || echo "$n" >"$WORK/acked.new"
		[ ! -e "$WORK/acked.new" ] || mv "$WORK/acked.new" "$WORK/acked"
	done
}
write_on 2>/dev/null &
WRITER=$!
more_than() { [ "$(cat "$WORK/acked")" -gt "$1" ]; }
# Writes go on in the cluster as it is now.
goes_on() { until_ok more_than $(($(cat "$WORK/acked") + ${1:-8})); }
goes_on

L=$(leader 1)
F=$((L % 3 + 1)) G=$((F % 3 + 1))
step "a backup by the old program"
OF_BACKUP=$(cat "$WORK/acked")
curl -sf -X POST -H "Authorization: Bearer $TOKEN" "${HTTP[$F]}/_cluster/backup" \
	-o "$WORK/old.backup" || fail "no backup"

step "one new follower under an old leader, whose checkpoint it needs"
stop_node $F
HAS=$(get $L /_cluster/status | jq .commit_index)
outgrow $L "$HAS"
start_node $F new
until_ok ready $F
until_ok installed $F
is "$(leader $F)" "$L" "the leader"
goes_on

step "it goes back, and comes again"
replace $F old
goes_on
replace $F new KILL
goes_on

step "a new leader over old followers"
at_leader() { L=$(leader $F) && curl -sf -X POST -H "Authorization: Bearer $TOKEN" \
	-d "{\"id\": $F}" "${HTTP[$L]}/_cluster/leader/transfer"; leads $F; }
until_ok at_leader
goes_on

step "an old node that was away needs a checkpoint of the new leader"
stop_node $G
HAS=$(get $F /_cluster/status | jq .commit_index)
outgrow $F "$HAS"
start_node $G old
until_ok ready $G
until_ok installed $G
is "$(leader $G)" "$F" "the leader"
goes_on

step "an old node joins as a learner of the new leader, and leaves"
at $F
export CONFLUX_TOKEN=$TOKEN
start_node 4 old --cluster-join "$(get $F /_cluster/status | jq -r .cluster_id)"
change_member add 4 "$RAFT4"
until_ok ready 4
until_ok installed 4
GOT=$(cat "$WORK/acked")
is_there() { [ "$(get 4 /api/v1/fetch/config/acme/shop/prod/c.txt)" -ge "$GOT" ]; }
until_ok is_there
change_member remove 4
stop_node 4
goes_on

# What the old ones know, all know.
OF_OLD=$(for n in 1 2 3; do knows $n; done | sort -n | head -n 1)
[ "$(version $F)" -le "$OF_OLD" ] || fail "version $(version $F) of a mixed cluster, some of which know $OF_OLD"

step "all are new"
for n in 1 2 3; do
	[ "${IS[$n]}" = new ] || replace $n new
	goes_on 3
done
goes_on

WANT=$(knows $F)
step "the cluster's version is what all know: $WANT"
agreed() { [ "$(version "$1")" = "$WANT" ]; }
for n in 1 2 3; do until_ok agreed $n; done
goes_on
if [ -n "$NEWER" ]; then
	is "$WANT" $((OF_OLD + 1)) "what the new program knows"
	step "the old program does not start on it any more, and touches nothing"
	stop_node $G
	find "$WORK/n$G/state" -type f ! -name lock.mdb -exec sha256sum {} + | sort >"$WORK/before"
	CONFLUX_FAILPOINTS='' timeout 20 "$OLD" --data-dir "$WORK/n$G" --listen 127.0.0.1:0 \
		--node-id $G --raft-listen "$(raft_address $G)" --peers "$PEERS" \
		2>"$WORK/refused.log" && fail "it started"
	has "$(cat "$WORK/refused.log")" "the state is of cluster version $WANT, this program knows $OF_OLD"
	find "$WORK/n$G/state" -type f ! -name lock.mdb -exec sha256sum {} + | sort >"$WORK/after"
	cmp -s "$WORK/before" "$WORK/after" || fail "$(diff "$WORK/before" "$WORK/after")"
	start_node $G new
	until_ok ready $G
	goes_on
fi

step "everything that was acknowledged is there, once, and the same everywhere"
: >"$WORK/enough"
wait "$WRITER" || true
N=$(cat "$WORK/acked")
printf 'wait %s\nstop\n' $((N + 1)) >&"$ORDERS"
wait "$WATCH" || fail "a watcher: $(tail -n 5 "$WORK/watch.log")"
has "$(cat "$WORK/watched")" "heard $((N + 1)) "
REV=$(for n in 1 2 3; do get $n /api/v1/status | jq .revision; done | sort -n | tail -n 1)
reached() { [ "$(get "$1" /api/v1/status | jq .revision)" -ge "$REV" ]; }
for n in 1 2 3; do
	until_ok reached $n
	GOT=$(get $n /api/v1/fetch/config/acme/shop/prod/c.txt)
	# The one that was under way may have happened.
	[ "$GOT" = "$N" ] || [ "$GOT" = $((N + 1)) ] ||
		fail "$N was acknowledged, $GOT is live at $n"
	is "$(get $n /api/v1/audit/verify | jq -r .valid)" true "the audit chain of $n"
	get $n "/api/v1/mgt/configs/$ID/versions" | jq -S . >"$WORK/versions$n"
done
cmp "$WORK/versions1" "$WORK/versions2"
cmp "$WORK/versions1" "$WORK/versions3"
echo "  $N publishes"

step "the old program's backup is a new cluster of the new program"
conflux cluster restore "$WORK/old.backup" --data-dir "$WORK/n5" --node-id 5 \
	--address "$RAFT5" -o json >"$WORK/restored" || fail "restore"
PEERS=5=$RAFT5 start_node 5 new --cluster-join "$(jq -r .cluster_id "$WORK/restored")"
until_ok ready 5
GOT=$(get 5 /api/v1/fetch/config/acme/shop/prod/c.txt)
[ "$GOT" -ge "$OF_BACKUP" ] || fail "$OF_BACKUP was acknowledged before the backup, which has $GOT"
is "$(get 5 /api/v1/audit/verify | jq -r .valid)" true "its audit chain"
