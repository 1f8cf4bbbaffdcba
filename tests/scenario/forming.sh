#!/usr/bin/env bash
# A node dies at each step of forming a cluster, the one that decides and one that
# follows, with a list, with a name, and by hand; it comes back, or comes back wiped.
# There is one cluster, with all of them, or those who are refused are told what to do.
. "$(dirname "$0")/lib.bash"

need_test_build
declare -A PID HTTP
unset TOKEN CONFLUX_TOKEN

trap 'rc=$?; [ $rc = 0 ] || tail -n 10 "$WORK"/daemon?.log >&2; cleanup' EXIT
waits() { curl -s "${HTTP[$1]}/readyz?verbose" | grep -q -- "-\]cluster.*$2"; }
get() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}$2"; }
is_gone() { ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }
serves() {
	until_ok test -s "$WORK/n$1/confluxd.listen"
	HTTP[$1]=http://$(cat "$WORK/n$1/confluxd.listen")
}
end_node() {
	kill -KILL "${PID[$1]}" 2>/dev/null || true
	wait "${PID[$1]}" 2>/dev/null || true
	unset "PID[$1]"
} 2>/dev/null

# Each way: start ID FAILPOINTS, in the background; `addresses` draws new ports.
addresses() { for n in 1 2 3; do RAFT[$n]=127.0.0.1:$(free_port); done; PORT=$(free_port); }
declare -A RAFT
start_list() {
	rm -f "$WORK/n$1/confluxd.listen"
	CONFLUX_FAILPOINTS=$2 "$TEST_BUILD/confluxd" --data-dir "$WORK/n$1" --listen 127.0.0.1:0 \
		--node-id "$1" --raft-listen "${RAFT[$1]}" --bootstrap-expect 3 --cluster-hold 20s \
		--peers "1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}" 2>>"$WORK/daemon$1.log" &
	PID[$1]=$!
}
# A name that has three addresses, by a hosts file in a namespace of its own.
cat >"$WORK/pod.sh" <<-'POD'
	set -eu
	n=$1 port=$2
	shift 2
	hostname "conflux-$((n - 1))"
	mount --bind "$WORK/hosts" /etc/hosts
	mount --bind "$WORK/resolv.conf" /etc/resolv.conf
	exec "$TEST_BUILD/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 \
		--raft-listen "127.0.0.$((10 + n)):$port" --peers "dns:conflux.shop.test:$port" \
		--cluster-hold 20s "$@"
POD
{
	echo '127.0.0.1 localhost'
	for n in 1 2 3; do echo "127.0.0.1$n conflux-$((n - 1)).conflux.shop.test conflux.shop.test"; done
} >"$WORK/hosts"
printf 'nameserver 127.0.0.99\noptions timeout:1 attempts:1\n' >"$WORK/resolv.conf"
export WORK TEST_BUILD
start_pod() {
	local n=$1 points=$2
	shift 2
	rm -f "$WORK/n$n/confluxd.listen"
	CONFLUX_FAILPOINTS=$points unshare -Urmu bash "$WORK/pod.sh" "$n" "$PORT" "$@" 2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
}
start_name() { start_pod "$1" "$2" --bootstrap-expect 3; }
start_hand() { start_pod "$1" "$2"; }
initialize() {
	for n in "$@"; do serves "$n"; until_ok waits "$n" "3 nodes are there; how many"; done
	# The one that is asked may be the one that dies of it.
	curl -s -o /dev/null -X POST "${HTTP[$1]}/_cluster/initialize?expect=3" || true
}

begin() {
	for n in "${!PID[@]}"; do end_node "$n"; done
	rm -rf "$WORK"/n?
	addresses
}
# All are ready, in one cluster; there is one token, and a write is seen everywhere.
whole() {
	local cluster=
	for n in "$@"; do serves "$n"; done
	for n in "$@"; do until_ok ready "$n"; done
	until_ok one_token
	TOKEN=$(cat "$WORK"/n*/root.token)
	for n in "$@"; do
		c=$(get "$n" /_cluster/status | jq -r .cluster_id)
		[ -z "$cluster" ] || is "$c" "$cluster" "cluster of node $n"
		cluster=$c
	done
	is "$(get "$1" /_cluster/nodes | jq -c '[.nodes[].id] | sort')" "[1,2,3]" members
	at "$1"
	make_tenant acme
	make_config c.txt there
	yes 201
	seen() { [ "$(get "$1" /api/v1/fetch/config/acme/shop/prod/c.txt)" = there ]; }
	for n in "$@"; do until_ok seen "$n"; done
}
# dies HOW ID FAILPOINT: the node is killed at that point while three form a cluster.
dies() {
	local how=$1 victim=$2 point=$3
	begin
	for n in 1 2 3; do
		if [ $n = "$victim" ]; then start_"$how" $n "$point"; else start_"$how" $n ""; fi
	done
	# Two that stay ask for it too, where it is to be said by hand.
	[ "$how" != hand ] || initialize $((victim % 3 + 1)) $(((victim + 1) % 3 + 1)) "$victim"
	until_ok is_gone "${PID[$victim]}"
}

# meta.write and .written: once for the new folder, once for the cluster.  What comes
# before the decision and after it is the same for who follows.
FOUND="form.found=crash meta.write=crash@2 form.written=crash form.log=crash known.write=crash"
MORE="meta.write=crash meta.written=crash meta.written=crash@2 wal.segment=crash
	vote.write=crash wal.write=crash"
for victim in 1 2; do
	step "a list of peers; node $victim dies, and comes back"
	for point in $FOUND $([ $victim = 2 ] || echo $MORE); do
		echo "  at $point"
		dies list $victim $point
		start_list $victim ""
		whole 1 2 3
	done
done

step "all of them die at that step, and come back"
begin
for n in 1 2 3; do start_list $n form.written=crash; done
until_ok is_gone "${PID[1]}"
# The others have not heard of it: they wait for who decided.
for n in 2 3; do kill -0 "${PID[$n]}" || fail "node $n has decided too"; done
start_list 1 ""
for n in 2 3; do until_ok is_gone "${PID[$n]}"; done
for n in 2 3; do start_list $n ""; done
whole 1 2 3

for how in name hand; do
	step "the same by $how"
	for at in 1=form.found 1=form.written 2=form.written 2=form.log; do
		echo "  node ${at%%=*} at ${at#*=}"
		dies $how "${at%%=*}" "${at#*=}=crash"
		start_$how "${at%%=*}" ""
		# Those that stay were told how many, and tell who comes back.
		whole 1 2 3
	done
done

step "the one that decides loses its folder before anybody has heard of it"
for point in form.found=crash form.log=crash; do
	echo "  at $point"
	dies list 1 $point
	rm -r "$WORK/n1"
	start_list 1 ""
	whole 1 2 3
done

step "one that follows loses its folder: the cluster knows it by that"
for point in form.found=crash form.written=crash; do
	echo "  at $point"
	dies list 2 $point
	rm -r "$WORK/n2"
	start_list 2 ""
	serves 2
	for n in 1 3; do serves $n; until_ok ready $n; done
	until_ok waits 2 "had another data directory"
	has "$(curl -s "${HTTP[2]}/readyz?verbose")" "remove node 2 from the cluster, then add it anew"
	# The wiped one has written a token that nobody knows.
	until_ok eval '[ "$(ls "$WORK"/n[13]/root.token | wc -l)" = 1 ]'
	TOKEN=$(cat "$WORK"/n[13]/root.token)
	export CONFLUX_TOKEN=$TOKEN
	at 1
	change_member remove 2 --force
	change_member add 2 "${RAFT[2]}"
	until_ok ready 2
	change_member promote 2
	whole 1 3 2
done
for n in 1 2 3; do end_node $n; done
