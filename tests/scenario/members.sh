#!/usr/bin/env bash
# Three nodes that talk over mutual TLS; a fourth joins, catches up, votes and
# leaves; leadership is handed over; a stranger's certificate is not let in.
. "$(dirname "$0")/lib.bash"
with_tsan

declare -A PID HTTP RAFT

for n in 1 2 3 4; do RAFT[$n]=127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"

# An authority, and a certificate of it for a node.
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-days 2 -subj "/CN=$1" -keyout "$WORK/$1.key" -out "$WORK/$1.pem" 2>/dev/null
}
certificate() {
	local ca=$1 n=$2 name=$3
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=node $n" \
		-keyout "$WORK/$name.key" -out "$WORK/$name.csr" 2>/dev/null
	printf 'subjectAltName=URI:conflux://node/%s,IP:127.0.0.1\n' "$n" >"$WORK/$name.ext"
	openssl x509 -req -in "$WORK/$name.csr" -CA "$WORK/$ca.pem" -CAkey "$WORK/$ca.key" \
		-CAcreateserial -days 2 -extfile "$WORK/$name.ext" \
		-out "$WORK/$name.pem" 2>/dev/null
}
authority ca
authority stranger
for n in 1 2 3 4; do certificate ca "$n" "n$n"; done
certificate stranger 4 bad

# start_node ID CERTIFICATE [flags]
start_node() {
	local n=$1 cert=$2
	shift 2
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 \
		--node-id "$n" --raft-listen "${RAFT[$n]}" --peers "$PEERS" --cluster-hold 20s \
		--cluster-cert-file "$WORK/$cert.pem" --cluster-key-file "$WORK/$cert.key" \
		--cluster-ca-file "$WORK/ca.pem" "$@" 2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
role_of() { conflux cluster status -o json | jq -r ".nodes[] | select(.id == $1) | .role"; }

step "three nodes with certificates form a cluster"
for n in 1 2 3; do start_node "$n" "n$n"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
export CONFLUX_TOKEN=$TOKEN
at 1
make_tenant acme
for i in $(seq 1 20); do
	make_config "c$i.txt" "$i"
	yes 201
done
is "$(conflux cluster status -o name | wc -l)" 3 members
# Two of them are a cluster; the third may come later.
all_up() { metrics=$(curl -sf -H "Authorization: Bearer $CONFLUX_TOKEN" "$URL/metrics") &&
	[ "$(grep -c '^conflux_peer_up{node="[123]"} 1$' <<<"$metrics")" = 3 ]; }
until_ok all_up
for n in 1 2 3; do
	ends=$(date -d "$(openssl x509 -noout -enddate -in "$WORK/n$n.pem" | cut -d= -f2)" +%s)
	has "$metrics" "conflux_peer_certificate_expiry_seconds{node=\"$n\"} $ends"
done

step "a fourth is not let in before it is added, nor by a stranger's certificate"
ask GET "$URL/_cluster/status"
CLUSTER=$(field .cluster_id)
start_node 4 bad --cluster-join "$CLUSTER"
change_member add 4 "${RAFT[4]}"
until_ok eval '[ "$(role_of 4)" = learner ]'
refused() { conflux cluster status -o json | jq -e '.nodes[] | select(.id == 4) | .error != ""'; }
L=$(conflux status -o json | jq .leader_id)
at "$L"
until_ok refused
# Of another authority: it does not come so far as to say who it is.
turned_away() { curl -sf -H "Authorization: Bearer $TOKEN" "$URL/metrics" |
	grep -Eq '^conflux_peer_connections_refused_total\{reason="no-hello"\} [1-9]'; }
until_ok turned_away
is "$(curl -s -o "$WORK/body" -w '%{http_code}' "${HTTP[4]}/readyz")" 503 "ready with a bad certificate"
end_node 4

step "with its own certificate it catches up, and is promoted"
start_node 4 n4 --cluster-join "$CLUSTER"
until_ok ready 4
at 4
has_all() { [ "$(conflux get configs -n acme -o name | wc -l)" = 20 ]; }
until_ok has_all
# A learner serves what was acknowledged anywhere, and watches.
REV=$(conflux status -o json | jq .revision)
conflux watch acme/shop/prod/c1.txt --since "$REV" --count 1 >"$WORK/watched" &
at 1
echo again >"$WORK/c1"
conflux publish acme/shop/prod/c1.txt -f "$WORK/c1" >/dev/null
ask GET "${HTTP[4]}/api/v1/fetch/config/acme/shop/prod/c1.txt?consistency=linearizable"
is "$STATUS $BODY" "200 again" "a linearizable read at a learner"
wait $! || fail "no watch at a learner"
has "$(cat "$WORK/watched")" c1.txt
is "$(role_of 4)" learner "its role"
change_member promote 4
has_role() { [ "$(role_of 4)" = "$1" ]; }
until_ok has_role voter

step "leadership is handed over to it, and taken from it"
leads() { [ "$(conflux status -o json | jq .leader_id)" = "$1" ]; }
# One try ends after three election timeouts, in which a busy machine may do nothing.
hands_over() { leads "$1" || conflux cluster transfer "$1"; }
until_ok hands_over 4
until_ok leads 4
at 4
make_config by-four.txt 4
yes 201
if conflux cluster remove 4 2>"$WORK/out"; then fail "a leader removed itself"; fi
has "$(cat "$WORK/out")" "leader"
at 1
until_ok hands_over 2
until_ok leads 2

step "it leaves, and the others go on"
change_member remove 4
until_ok eval '[ "$(conflux cluster status -o name | wc -l)" = 3 ]'
end_node 4
make_config after.txt 5
yes 201
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true valid

step "who asked for all that, and what came of it, is on record"
conflux audit list --limit 1000 -o json | jq -r '.records[] | .target' >"$WORK/trail"
for line in "member-add node 4 at ${RAFT[4]}: asked for" "member-add node 4 at ${RAFT[4]}: done" \
	"member-promote node 4: done" "member-remove node 4: done"; do
	grep -qxF -- "$line" "$WORK/trail" || fail "'$line' is not among: $(cat "$WORK/trail")"
done
# Who led when it was asked says so, or, where that did not reach the log any more, who
# leads now.
for n in 4 2; do
	grep -qE "^leader-transfer node $n: (done|found node $n leading in term .*)$" \
		"$WORK/trail" || fail "no hand-over to $n: $(cat "$WORK/trail")"
done
grep -q "^member-remove node 4: refused, conflict: " "$WORK/trail" || fail "$(cat "$WORK/trail")"

step "and in the metrics"
count() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/metrics" | sed -n "s/^$2 //p"; }
[ "$(count 1 conflux_leader_changes_total)" -ge 1 ] || fail "leader changes"
# Added, promoted, removed.
is "$(count 1 conflux_member_changes_total)" 3 "member changes"
L=$(conflux status -o json | jq .leader_id)
F=$((L % 3 + 1))
BEFORE=$(count $F conflux_forwarded_writes_total)
at $F
for i in 1 2 3; do make_config "forwarded$i.txt" x; yes 201; done
[ "$(count $F conflux_forwarded_writes_total)" -ge $((BEFORE + 3)) ] || fail "forwarded writes"
[ "$(count $F conflux_forwarded_batches_total)" -ge 1 ] || fail "forwarded batches"

step "certificates are read again without a restart"
for n in 1 2 3; do certificate ca "$n" "n$n"; kill -HUP "${PID[$n]}"; done
reloaded() { [ "$(grep -c "are read again" "$WORK/daemon.log")" -ge 3 ]; }
until_ok reloaded
make_config reloaded.txt 6
yes 201
for n in 1 2 3; do end_node "$n"; done
