#!/usr/bin/env bash
# Nodes without data form a cluster by themselves: in any order, with all that are
# expected and never without; a wiped one, a second bootstrap and a node of another
# cluster are refused; by hand; by a name, as in a StatefulSet.
. "$(dirname "$0")/lib.bash"
with_tsan

NODES="1 2 3"
declare -A PID HTTP RAFT
for n in 1 2 3 4; do RAFT[$n]=127.0.0.1:$(free_port); done
PEERS=1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}

# start_node ID [flags]
start_node() {
	local n=$1
	shift
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 \
		--node-id "$n" --raft-listen "${RAFT[$n]}" --cluster-hold 20s "$@" \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
cleanup_nodes() { for n in "${!PID[@]}"; do kill -KILL "${PID[$n]}" 2>/dev/null || true; done; }
trap 'rc=$?; [ $rc = 0 ] || tail -n 12 "$WORK"/daemon?.log >&2; cleanup_nodes; cleanup' EXIT
waits() { curl -s "${HTTP[$1]}/readyz?verbose" | grep -q -- "-\]cluster.*$2"; }
cluster_of() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/_cluster/status" | jq -r .cluster_id; }
all_ready() { for n in "$@"; do until_ok ready "$n"; done; }
take_token() {
	until_ok one_token
	TOKEN=$(cat "$WORK"/n*/root.token)
	export CONFLUX_TOKEN=$TOKEN
}

step "two of three wait for the third, and say so"
start_node 3 --peers "$PEERS" --bootstrap-expect 3
start_node 1 --peers "$PEERS" --bootstrap-expect 3
until_ok waits 1 "2 of 3 nodes are there"
until_ok waits 3 "2 of 3 nodes are there"
is "$(curl -s -o "$WORK/body" -w '%{http_code}' "${HTTP[1]}/readyz")" 503 readyz

step "when it comes they form a cluster"
start_node 2 --peers "$PEERS" --bootstrap-expect 3
all_ready $NODES
take_token
CLUSTER=$(cluster_of 1)
for n in $NODES; do is "$(cluster_of "$n")" "$CLUSTER" "cluster of $n"; done
at 1
make_tenant acme
make_config kept.txt kept
yes 201

step "a second bootstrap is refused"
ask POST "$URL/_cluster/initialize"
yes 409
has "$BODY" "belongs to cluster $CLUSTER already"
if conflux cluster initialize 2>"$WORK/out"; then fail "it was initialised again"; fi
has "$(cat "$WORK/out")" "already"

step "a wiped node is not let in under its id, and founds nothing"
end_node 3 KILL
rm -rf "$WORK/n3"
start_node 3 --peers "$PEERS" --bootstrap-expect 3
until_ok waits 3 "had another data directory"
until_ok grep -q "with another data directory than before" "$WORK/daemon1.log" "$WORK/daemon2.log"
end_node 1
end_node 2
start_node 2 --peers "$PEERS" --bootstrap-expect 3
# 2 has its data and needs a majority, and the wiped one is none.
until_ok eval 'grep -q "another data directory" "$WORK/daemon2.log"'
is "$(curl -s -o "$WORK/body" -w '%{http_code}' "${HTTP[2]}/readyz")" 503 "ready with a wiped node"
start_node 1 --peers "$PEERS" --bootstrap-expect 3
all_ready 1 2
at 1
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/kept.txt"
is "$BODY" kept "after a node was wiped"

step "it is removed and added anew, and joins by itself"
change_member remove 3 --force
change_member add 3 "${RAFT[3]}"
until_ok ready 3
change_member promote 3
at 3
fetched() { ask GET "$URL/api/v1/fetch/config/acme/shop/prod/kept.txt"; [ "$BODY" = kept ]; }
until_ok fetched
is "$(cluster_of 3)" "$CLUSTER" "cluster of 3"

step "a node that nobody awaits is told what to do"
start_node 4 --peers "$PEERS,4=${RAFT[4]}" --bootstrap-expect 4
until_ok waits 4 "node 4 is no member of it"
at 1
change_member add 4 "${RAFT[4]}"
until_ok ready 4
is "$(cluster_of 4)" "$CLUSTER" "cluster of 4"

step "all of them start again, killed, with what they have"
for n in 1 2 3 4; do end_node "$n" KILL; done
for n in 4 3 2 1; do start_node "$n" --peers "$PEERS,4=${RAFT[4]}" --bootstrap-expect 4; done
all_ready 1 2 3 4
is "$(cluster_of 4)" "$CLUSTER" "cluster of 4"
for n in 1 2 3 4; do end_node "$n"; done

step "a node of another cluster is refused"
mkdir "$WORK/other"
mv "$WORK"/n? "$WORK/other"
start_node 1 --peers "1=${RAFT[1]}"
until_ok ready 1
take_token
is "$([ "$(cluster_of 1)" != "$CLUSTER" ] && echo other)" other "cluster id of another cluster"
mv "$WORK/other/n2" "$WORK/n2"
start_node 2 --peers "$PEERS"
until_ok grep -q "this is cluster" "$WORK/daemon2.log"
end_node 2
end_node 1
rm -rf "$WORK"/n? "$WORK/other"

step "by hand: nothing is formed before it is said"
HAND="--peers dns:localhost:${RAFT[1]##*:} --cluster-advertise ${RAFT[1]}"
start_node 1 $HAND
until_ok waits 1 "is to be said by hand"
at 1
# There is no token yet: nobody but this machine may say it.
refused() {
	ask POST "$URL/_cluster/initialize?expect=1" "$@"
	yes 403
	# A page of another origin is refused before it is asked who it is.
	case $* in
	*Origin:*) has "$BODY" "a page of http://evil.test may do nothing here" ;;
	*) has "$BODY" "conflux cluster initialize on the machine of the node" ;;
	esac
	waits 1 "is to be said by hand" || fail "it was initialised by $*"
}
for h in "X-Forwarded-For: 192.0.2.7" "Forwarded: for=192.0.2.7" "Via: 1.1 proxy" \
	"X-Real-IP: 192.0.2.7" "Origin: http://evil.test"; do
	refused -H "$h"
done
if unshare -Urn true 2>/dev/null; then
	step "by hand: another machine may not"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj /CN=far -keyout "$WORK/far.key" -out "$WORK/far.pem" 2>/dev/null
	# A network of its own, in which one address is a stranger to the other.
	cat >"$WORK/alone.sh" <<-'ALONE'
		set -eu
		ip link set lo up
		ip address add 10.77.0.1/32 dev lo
		ip address add 10.77.0.2/32 dev lo
		"$CONFLUX_BIN/confluxd" --data-dir "$WORK/far" --listen 0.0.0.0:18080 \
			--tls-cert-file "$WORK/far.pem" --tls-key-file "$WORK/far.key" \
			--raft-listen 10.77.0.1:19001 \
			--node-id 1 --cluster-allow-clear-text true \
			--peers dns:localhost:19001 --cluster-advertise 10.77.0.1:19001 2>"$WORK/daemon9.log" &
		trap "kill $!" EXIT
		for _ in $(seq 1200); do [ -s "$WORK/far/confluxd.listen" ] && break; sleep 0.05; done
		code() { curl -s -o "$WORK/far.body" -w '%{http_code} ' -X POST -k --interface "$1" "https://$2:18080/_cluster/initialize?expect=1"; }
		code 10.77.0.2 10.77.0.1
		code 10.77.0.2 127.0.0.1
		grep -q "and not from 10.77.0.2" "$WORK/far.body"
		code 10.77.0.1 10.77.0.1
		kill $!
		wait $! || true
		trap - EXIT
	ALONE
	is "$(unshare -Urn bash "$WORK/alone.sh")" "403 403 202 " "from another machine, and from its own address"
else
	echo "no namespaces here: another machine is left out" >&2
	exit 1
fi
step "by hand: the node's own machine may"
conflux cluster initialize --expect 1 >"$WORK/out" || fail "initialize: $(cat "$WORK/out")"
until_ok ready 1
end_node 1
rm -rf "$WORK"/n?

step "with keys: what is formed opens its checkpoints again"
(umask 077; printf 'first %s\n' "$(openssl rand -base64 32)" >"$WORK/keys")
KEYS="--storage-encryption always --storage-encryption-key-file $WORK/keys"
for n in $NODES; do
	start_node "$n" --peers "$PEERS" --storage-checkpoint-log 1MiB $KEYS
done
all_ready $NODES
take_token
at 1
make_tenant acme
has_checkpoint() { compgen -G "$WORK/n$1/checkpoints/*.meta"; }
made=0
until has_checkpoint 1 && has_checkpoint 2 && has_checkpoint 3; do
	[ $made -lt 60 ] || fail "no checkpoints after 12 MB"
	made=$((made + 1))
	head -c 150000 /dev/urandom | base64 -w 0 >"$WORK/content"
	jq -n --rawfile c "$WORK/content" --arg n "c$made.txt" '{tenant: "acme",
		application: "shop", environment: "prod", name: $n,
		format: "text", content: $c}' >"$WORK/req"
	ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/req"
	yes 201
done >/dev/null
for n in $NODES; do end_node "$n" KILL; done
# Without the store, what a checkpoint has comes from nowhere else.
for n in $NODES; do
	rm -r "$WORK/n$n/state"
	start_node "$n" --peers "$PEERS" --storage-checkpoint-log 1MiB $KEYS
done
all_ready $NODES
at 2
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c$made.txt"
is "$BODY" "$(cat "$WORK/content")" "what was there"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c1.txt"
yes 200
conflux cluster backup "$WORK/backup" 2>"$WORK/out" || fail "backup: $(cat "$WORK/out")"
is "$(conflux cluster backup verify "$WORK/backup" -o json | jq -r .cluster_id)" \
	"$(cluster_of 1)" "cluster of the backup"
for n in $NODES; do end_node "$n"; done
rm -rf "$WORK"/n?

# A name with several addresses, and pods that are named by their order: a host name
# and a hosts file of its own, in namespaces of its own.
if unshare -Urmu true 2>/dev/null; then
	step "as in a StatefulSet: a name, and the number of the host"
	PORT=$(free_port)
	# pod ORDINAL ADDRESSES...: the name has these, and each pod its own.
	cat >"$WORK/pod.sh" <<-'POD'
		set -eu
		n=$1 port=$2
		hostname "conflux-$((n - 1))"
		mount --bind "$WORK/hosts" /etc/hosts
		mount --bind "$WORK/resolv.conf" /etc/resolv.conf
		exec "$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 \
			--raft-listen "127.0.0.$((10 + n)):$port" \
			--peers "dns:conflux.shop.test:$port" --bootstrap-expect 3
	POD
	hosts() {
		printf '127.0.0.1 localhost\n' >"$WORK/hosts.new"
		for n in 1 2 3; do
			printf '127.0.0.1%s conflux-%s.conflux.shop.test\n' "$n" "$((n - 1))"
		done >>"$WORK/hosts.new"
		for n in "$@"; do
			printf '127.0.0.1%s conflux.shop.test\n' "$n"
		done >>"$WORK/hosts.new"
		cat "$WORK/hosts.new" >"$WORK/hosts"   # in its place: it is mounted
	}
	export WORK CONFLUX_BIN
	start_pod() {
		rm -f "$WORK/n$1/confluxd.listen"
		unshare -Urmu bash "$WORK/pod.sh" "$1" "$PORT" 2>>"$WORK/daemon$1.log" &
		PID[$1]=$!
		until_ok test -s "$WORK/n$1/confluxd.listen"
		HTTP[$1]=http://$(cat "$WORK/n$1/confluxd.listen")
	}
	: >"$WORK/hosts"
	# Nobody listens there: what the file does not have is unknown at once.
	printf "nameserver 127.0.0.99\noptions timeout:1 attempts:1\n" >"$WORK/resolv.conf"
	hosts                              # nobody yet: the name is unknown
	start_pod 1
	until_ok waits 1 "conflux.shop.test"
	hosts 1
	start_pod 2
	hosts 1 2                          # the name gets its addresses one by one
	until_ok waits 2 "2 of 3 nodes are there"
	start_pod 3
	hosts 3 2 1
	all_ready 1 2 3
	take_token
	at 2
	is "$(conflux cluster status -o json | jq -r '.nodes[].id' | sort | xargs)" "1 2 3" ids
	has "$(conflux cluster status)" "conflux-1.conflux.shop.test:$PORT"
	make_tenant acme
	for n in 1 2 3; do end_node "$n"; done
else
	echo "no namespaces here: the StatefulSet is left out" >&2
	exit 1
fi
