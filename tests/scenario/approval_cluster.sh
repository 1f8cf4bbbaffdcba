#!/usr/bin/env bash
# Three nodes: a plan, a publish that waits and votes on it, each at another node; the
# leader is killed as the last vote is in, and dies before and after it executes:
# what was approved is executed once.
. "$(dirname "$0")/lib.bash"

need_test_build
declare -A PID HTTP RAFT
for n in 1 2 3; do RAFT[$n]=127.0.0.1:$(free_port); HTTP[$n]=http://127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"
# start_node N [FAILPOINTS]
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	CONFLUX_FAILPOINTS=${2:-} "$TEST_BUILD/confluxd" --data-dir "$WORK/n$n" --listen "${HTTP[$n]#http://}" \
		--node-id "$n" --raft-listen "${RAFT[$n]}" --peers "$PEERS" --cluster-hold 20s \
		2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
}
leader() { conflux cluster status -o json | jq .leader_id; }
# by N TOKEN command...: at node N
by() { local n=$1 token=$2; shift 2; CONFLUX_SERVER=${HTTP[$n]} CONFLUX_TOKEN=$token conflux "$@"; }
create() { conflux token create --subject "$@" --tenant acme 2>/dev/null; }

step "three nodes know the same subjects"
for n in 1 2 3; do start_node "$n"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
export CONFLUX_TOKEN=$TOKEN
at 1
grown() { [ "$(conflux cluster status -o json | jq .cluster_version)" -ge 5 ]; }
until_ok grown
make_tenant acme
L=$(leader)
A=$((L % 3 + 1)) B=$(((L + 1) % 3 + 1))      # the two that follow
ANN=$(create ann --verb publish)
BEN=$(create ben --verb approve --group leads)
CEM=$(create cem --verb approve --group leads)
knows() { by "$1" "$2" whoami >/dev/null; }
for n in 1 2 3; do until_ok knows "$n" "$CEM"; done

step "a plan that one node made is applied at another"
cat >"$WORK/app.yaml" <<'END'
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxConfig
metadata: {name: shop.prod.app, namespace: acme}
spec: {application: shop, environment: prod, name: app, format: text, content: "one\n"}
END
by "$A" "$ANN" plan -f "$WORK/app.yaml" --out "$WORK/plan" >/dev/null
# At once: a node that does not know it yet asks how far the others are.
by "$B" "$ANN" apply "$WORK/plan" >"$WORK/out"
# What a plan is made against is what its node has by then.
has_content() { [ "$(by "$1" "$ANN" fetch acme/shop/prod/app)" = "$2" ]; }
for i in 1 2 3 4 5 6; do
	until_ok has_content "$A" "$(sed -n 's/.*content: "\(.*\)\\n".*/\1/p' "$WORK/app.yaml")"
	sed -i "s/one.*\\\\n/one$i\\\\n/" "$WORK/app.yaml"
	by "$A" "$ANN" plan -f "$WORK/app.yaml" --out "$WORK/plan" >/dev/null
	by "$B" "$ANN" apply "$WORK/plan" >"$WORK/out"
done
is "$(by "$B" "$ANN" fetch acme/shop/prod/app)" one6 content

step "a publish at a follower waits, and is seen at each node"
conflux apply -f - >/dev/null <<'END'
apiVersion: gitops.conflux.io/v1alpha1
kind: ApprovalPolicy
metadata: {name: prod, namespace: acme}
spec: {stages: [{required: 2, from: {groups: [leads]}}]}
END
at "$A"
ask GET "$URL/api/v1/mgt/configs?address=acme/shop/prod/app"
ID=$(field .id)
TOKEN=$ANN ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "two\n"}'
yes 202
P=$(field .proposal_id)
is "$(field .approval_dashboard_url)" "$URL/api/v1/proposals/$P" url
sees() { by "$1" "$BEN" proposals "$P" >/dev/null; }
for n in 1 2 3; do until_ok sees "$n"; done

step "votes come at two nodes, and with the last one the leader is killed"
has "$(by "$B" "$BEN" approve "$P")" "Pending, approvals 1/2"
by "$A" "$CEM" approve "$P" >/dev/null
end_node "$L" KILL
executed() { [ "$(by "$A" "$BEN" proposals "$P" -o json | jq -r .status.phase)" = Executed ]; }
until_ok executed
is "$(by "$A" "$ANN" fetch acme/shop/prod/app)" two content
at "$A"
ask GET "$URL/api/v1/mgt/configs/$ID/versions"
is "$(field '.versions | length')" 8 "versions: executed once"
ask GET "$URL/api/v1/audit?limit=1000"
is "$(field '[.records[] | select(.action == "execute")] | length')" 1 "records of it"

is_gone() { ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c1)" = Z ]; }
leads() { [ "$(by "$2" "$TOKEN" cluster status -o json | jq .leader_id)" = "$1" ]; }
# dies_at FAILPOINTS CONTENT VERSIONS: node L leads, and dies there by itself.
dies_at() {
	start_node "$L" "$1"
	until_ok ready "$L"
	lead() { by "$A" "$TOKEN" cluster transfer "$L"; }
	until_ok lead
	until_ok leads "$L" "$A"
	at "$B"
	TOKEN=$ANN ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d "{\"content\": \"$2\\n\"}"
	yes 202
	P=$(field .proposal_id)
	until_ok sees "$A"
	by "$B" "$BEN" approve "$P" >/dev/null
	# The answer may be lost with the leader.
	by "$A" "$CEM" approve "$P" >/dev/null 2>&1 || true
	until_ok is_gone "${PID[$L]}"
	wait "${PID[$L]}" 2>/dev/null || true
	until_ok executed
	is "$(by "$A" "$ANN" fetch acme/shop/prod/app)" "$2" content
	at "$A"
	ask GET "$URL/api/v1/mgt/configs/$ID/versions"
	is "$(field '.versions | length')" "$3" "versions: executed once"
	ask GET "$URL/api/v1/audit?limit=1000"
	is "$(field '[.records[] | select(.action == "execute")] | length')" $(($3 - 7)) "records of it"
}
step "the leader dies before it has executed"
dies_at gate.execute=crash three 9
step "the leader dies when it has executed, before it knows"
dies_at gate.executed=crash four 10

step "a subject's token that is deleted ends at each node"
NAME=$(conflux token list -o json | jq -r '.tokens[] | select(.subject == "ben") | .name')
conflux token delete "$NAME" >/dev/null
forgets() { ! by "$1" "$BEN" whoami; }
until_ok forgets "$A"
until_ok forgets "$B"
