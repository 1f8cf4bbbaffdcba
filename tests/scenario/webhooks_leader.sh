#!/usr/bin/env bash
# Three nodes and a webhook: the leader is killed between a delivery and its record, and
# the next one goes on.  Nothing is lost; what comes twice comes under one id.
. "$(dirname "$0")/lib.bash"
need_test_build
HERE=$(dirname "$0")/webhooks
DOC=$HERE/../../../docs/webhooks.md
sed -n '/<!-- verify.py -->/,/^```$/p' "$DOC" | sed '1,2d;$d' >"$WORK/verify.py"

declare -A PID HTTP RAFT
for n in 1 2 3; do RAFT[$n]=127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=IP:127.0.0.1 \
	-keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
PYTHONPATH=$WORK python3 "$HERE/receiver.py" "$WORK" 2>"$WORK/receiver.log" &
until_ok test -s "$WORK/ports"
read -r TLS PLAIN <"$WORK/ports"

# start_node ID FAILPOINTS
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	CONFLUX_FAILPOINTS=$2 "$TEST_BUILD/confluxd" --data-dir "$WORK/n$n" \
		--cluster-election-timeout 2s --cluster-hold 20s \
		--listen 127.0.0.1:0 --node-id "$n" --raft-listen "${RAFT[$n]}" \
		--peers "$PEERS" --cluster-allow-clear-text true --webhooks-private-hosts true \
		--webhooks-ca-file "$WORK/cert.pem" --sources-file-roots "$WORK" \
		2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
broken_source() {
	ask POST "$KUBE/namespaces/acme/confluxsources" -d '{"apiVersion":
		"gitops.conflux.io/v1alpha1", "kind": "ConfluxSource", "metadata": {"name": "'"$1"'"},
		"spec": {"url": "file://'"$WORK"'/no-such-repository", "interval": "1h"}}'
	yes 201
}
came() { cat "$WORK/came.good" 2>/dev/null || true; }
names() { came | cut -d' ' -f4 | uniq | tr '\n' ' '; }
shows() { ask GET "$URL/api/v1/_config/webhooks/acme/good" && [ "$(field "$1")" = "$2" ]; }
leads() { [ "$(conflux cluster status -o json | jq -r .leader_id)" = "$1" ]; }
gone() { ! kill -0 "$1" 2>/dev/null; }

step "three nodes; the first leads, and dies when its third event has been taken"
start_node 1 hook.sent=crash@3
for n in 2 3; do start_node "$n" ""; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
export CONFLUX_TOKEN=$TOKEN
at 2
lead() { leads 1 || conflux cluster transfer 1; }
until_ok lead
until_ok leads 1
until_ok eval 'ask GET "$URL/_cluster/status" && [ "$(field .cluster_version)" -ge 5 ]'
make_tenant acme
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "good",
	"url": "https://127.0.0.1:'"$TLS"'/good"}'
yes 201
field .key >"$WORK/good.key"
for name in one two three; do
	broken_source "$name"
	until_ok grep -q " $name\$" "$WORK/came.good"
done
until_ok gone "${PID[1]}"
wait "${PID[1]}" 2>/dev/null || true
unset "PID[1]"

step "another leads, and delivers what no record says was delivered"
until_ok eval 'leads 2 || leads 3'
broken_source four
until_ok grep -q " four\$" "$WORK/came.good"
until_ok shows .waiting 0
is "$(names)" "one two three four " "in order, none lost"
[ "$(came | grep -c " three\$")" -ge 2 ] || fail "not delivered again: $(came)"
is "$(came | grep " three\$" | cut -d' ' -f2 | sort -u | wc -l)" 1 "ids of one event"
is "$(came | cut -d' ' -f2 | sort -u | wc -l)" 4 "events"
hasnt "$(came)" wrong
