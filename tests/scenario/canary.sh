#!/usr/bin/env bash
# Three nodes, a branch of Git that they watch, and instances that follow what it brings: a
# canary goes out step by step; one whose instances reject it, or vanish with it, turns
# back by itself; one goes through while its leader is killed at each step, and between
# the push and its first one.
. "$(dirname "$0")/lib.bash"

declare -A PID HTTP RAFT
N=24
KEY=acme/shop/prod/main

for n in 1 2 3; do RAFT[$n]=127.0.0.1:$(free_port); HTTP[$n]=http://127.0.0.1:$(free_port); done
PEERS="1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}"
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen "${HTTP[$n]#http://}" \
		--node-id "$n" --raft-listen "${RAFT[$n]}" --peers "$PEERS" \
		--sources-file-roots "$WORK" --cluster-hold 20s 2>>"$WORK/daemon.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
}

end_instances() {
	kill "$I"
	wait "$I" 2>/dev/null || true
}

# ---- what is seen ----

# Of the newest release.
newest() { conflux get releases -n acme -o json | jq -r '[.items[] | select(.spec.strategy == "canary")] | last'; }
release() { newest | jq -r .metadata.name; }
phase() { newest | jq -r '.status.phase // "none"'; }
phase_is() { [ "$(phase)" = "$1" ]; }
all_have() { [ "$(cat "$WORK"/i/web-* | grep -cx "$1")" = "$2" ]; }
# A commit, and nothing else: the cluster looks at the branch each second.
push() {
	printf '%s' "$1" >"$WORK/repo/shop/prod/main"
	git -C "$WORK/repo" commit -qam "$1"
	git -C "$WORK/repo" push -q origin HEAD:main
}
brought() { [ "$(newest | jq -r .spec.commit)" = "$(git -C "$WORK/repo" rev-parse HEAD)" ]; }
publish() {
	push "$1"
	until_ok brought
}
states() { conflux fleet "$1" --limit 100 -o json | jq -r '[.instances[].state] | group_by(.) |
	map("\(.[0]) \(length)") | join(", ")'; }

step "three nodes, and $N instances that follow one configuration"
for n in 1 2 3; do start_node "$n"; done
for n in 1 2 3; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
export CONFLUX_TOKEN=$TOKEN
at 1
export CONFLUX_SERVER=${HTTP[1]},${HTTP[2]},${HTTP[3]}
grown() { [ "$(conflux cluster status -o json | jq .cluster_version)" -ge 5 ]; }
until_ok grown
make_tenant acme
git init -q --bare -b main "$WORK/origin.git"
git clone -q "$WORK/origin.git" "$WORK/repo" 2>/dev/null
git -C "$WORK/repo" config user.name T
git -C "$WORK/repo" config user.email t@example.invalid
mkdir -p "$WORK/repo/shop/prod"
printf one >"$WORK/repo/shop/prod/main"
git -C "$WORK/repo" add -A
push one
ask POST "$KUBE/namespaces/acme/confluxsources" -d '{
	"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxSource",
	"metadata": {"name": "shop"},
	"spec": {"url": "file://'"$WORK"'/origin.git", "ref": {"branch": "main"},
		"interval": "1s",
		"layout": {"files": {"pathTemplate": "{application}/{environment}/{name}"}}}}'
yes 201
is_live() { [ "$(conflux fetch "$KEY")" = "$1" ]; }
until_ok is_live one
mkdir "$WORK/i"
python3 "$(dirname "$0")/canary/instances.py" "$WORK/i" "$KEY" "$N" \
	"${HTTP[1]}" "${HTTP[2]}" "${HTTP[3]}" >"$WORK/said" &
I=$!
until_ok all_have one "$N"
# An instance has it before it says so.
all_said() { [ "$(conflux fleet -o json | jq -r '.instances | "\(length) " +
	(map("\(.state) \(.version) \(.connected)") | unique | join(", "))')" = "$N $1" ]; }
until_ok all_said "applied 1 true"

step "a plan counts them at all nodes, or says that it cannot"
# On another branch: nobody brings it.
git -C "$WORK/repo" checkout -q -b aside
printf other >"$WORK/repo/shop/prod/main"
git -C "$WORK/repo" commit -qam aside
git -C "$WORK/repo" push -q origin aside
ASIDE=$(git -C "$WORK/repo" rev-parse HEAD)
git -C "$WORK/repo" checkout -q -
reached() { conflux plan --source acme/shop --commit "$ASIDE" -o json | jq -c '.blast_radius |
	[.instances_connected, (.instances_note // "" | test("1 of 3 nodes"))]'; }
# A node that is busy may not answer another one in time.
reaches() { [ "$(CONFLUX_SERVER=${HTTP[$1]} reached)" = "[$N,false]" ]; }
for n in 1 2 3; do until_ok reaches "$n"; done

policy() { # BAKE STEPS
	conflux apply -f - >"$WORK/out" <<-EOT
		apiVersion: gitops.conflux.io/v1alpha1
		kind: ReleasePolicy
		metadata: {name: careful, namespace: acme}
		spec:
		  strategy: canary
		  timeout: 60s
		  conditions: {applied: {atLeast: 100}, rejected: {atMost: 0}}
		  bake: $1
		  steps: $2
	EOT
}

step "a canary goes to a ring, to half of them, to all"
policy 300ms '[{labels: {ring: canary}, pause: manual}, {percent: 50}]'
publish two
R=$(release)
ring_applied() { [ "$(states "$R")" = "applied 6" ]; }
for n in 1 2 3; do
	CONFLUX_SERVER=${HTTP[$n]} until_ok ring_applied
done
is "$(newest | jq .status.expected)" 6 "expected instances"
# A node that does not answer within two seconds is left out.
is_page() { [ "$(conflux fleet "$R" --limit 2 -o name "${@:2}" | tr '\n' ' ')" = "$1" ]; }
until_ok is_page "web-00 web-01 "
until_ok is_page "web-04 web-05 " --after web-03
waits_for() { conflux release show "acme/$R" >"$WORK/show" && grep -q "^waits for: .*$1" "$WORK/show"; }
for n in 1 2 3; do
	CONFLUX_SERVER=${HTTP[$n]} until_ok waits_for "waits for somebody to promote it"
done
fleet_waits() { [ "$(conflux fleet "$R" -o json | jq -r .waits_for)" = "waits for $1" ]; }
until_ok fleet_waits "somebody to promote it"

step "whoever is of one tenant sees its instances and releases, and no others"
conflux apply -f - >"$WORK/out" <<-'EOT'
	{"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "other"}}
EOT
RM=$(conflux token create rm --subject rm --verb promote --tenant acme 2>"$WORK/err")
NO=$(conflux token create no --subject no --verb promote --tenant other 2>"$WORK/err")
counts() { [ "$(CONFLUX_TOKEN=$1 conflux fleet "${@:3}" -o name | wc -l)" = "$2" ]; }
until_ok counts "$RM" "$N"
until_ok counts "$RM" 6 "$R"
is "$(CONFLUX_TOKEN=$NO conflux fleet -o name | wc -l)" 0 "instances of another"
is "$(conflux fleet -n other -o name | wc -l)" 0 "of a tenant that is asked for"
for release in "$R" "acme/$R"; do
	! CONFLUX_TOKEN=$NO conflux fleet "$release" >"$WORK/out" 2>&1 ||
		fail "a release of another tenant was shown"
	hasnt "$(cat "$WORK/out")" web-
done
CONFLUX_TOKEN=$RM conflux release promote "acme/$R" >"$WORK/out"
until_ok phase_is Completed
hasnt "$(newest | jq -r '.status.history | tostring')" "what it waited for"
until_ok all_have two "$N"
cat >"$WORK/order.py" <<-'EOT'
	import sys
	first = [l.split()[1] for l in open(sys.argv[1]) if l.endswith("has version 2\n")]
	ring = {"web-%02d" % i for i in range(6)}
	assert set(first[:6]) == ring, first
EOT
python3 "$WORK/order.py" "$WORK/said" || fail "the ring was not first"

step "one that instances reject turns back by itself, all of it"
policy 300ms '[{labels: {ring: canary}, pause: manual}, {percent: 50}]'
publish "a bad one"
until_ok grep -q "rejects version 3" "$WORK/said"
until_ok phase_is RolledBack
has "$(newest | jq -r '.status.message + (.status.history | tostring)')" "it says bad"
all_have two "$N" || fail "somebody has another than before"
hasnt "$(sort -u "$WORK/said")" "has version 3"
is "$(grep -c "rejects version 3" "$WORK/said" | awk '{ print ($1 <= 6) }')" 1 "beyond the ring"
has_turned() { [ "$(curl -sf -H "Authorization: Bearer $TOKEN" -H 'X-Conflux-Instance: web-00' \
	"${HTTP[$1]}/api/v1/fetch/config/$KEY?label.ring=canary")" = two ]; }
for n in 1 2 3; do until_ok has_turned "$n"; done

step "who promotes does not wait for what a step waits for, and the history says so"
policy 1h '[{labels: {ring: canary}}, {percent: 50, pause: manual}]'
publish hasty
R=$(release)
until_ok waits_for "its conditions are met, and must stay so until 2"
conflux release promote "acme/$R" -m "no time" >"$WORK/out"
has "$(newest | jq -r '.status.history | tostring')" \
	"no time; promoted over what it waited for: its conditions are met, and must stay so until 2"
has "$(conflux audit list --limit 1000 -o json)" "no time; promoted over what it waited for"
conflux release abort "acme/$R" >"$WORK/out"
until_ok all_have two "$N"

step "a step that a freeze window holds says so"
policy 300ms '[{labels: {ring: canary}}, {percent: 50}]'
conflux apply -f - >"$WORK/out" <<-'EOT'
	apiVersion: gitops.conflux.io/v1alpha1
	kind: FreezeWindow
	metadata: {name: nights, namespace: acme}
	spec: {owner: ann, reason: nobody is here, blocks: [steps],
	  interval: {start: "2020-01-01T00:00:00Z", end: "2099-01-01T00:00:00Z"}}
EOT
publish frozen
R=$(release)
until_ok waits_for "advance is not possible now and is tried again: .*nights"
conflux release abort "acme/$R" >"$WORK/out"
conflux delete freezewindow nights -n acme >"$WORK/out"
until_ok all_have two "$N"

step "one that ends its instances turns back when they are not back in time"
publish "crash"
until_ok grep -q "crashes with version 6" "$WORK/said"
until_ok phase_is RolledBack
has "$(newest | jq -r '.status.message + (.status.history | tostring)')" "vanished"
is "$(ls "$WORK"/i | wc -l)" "$N" instances
end_instances

step "one goes through while its leader is killed at each step"
python3 "$(dirname "$0")/canary/instances.py" "$WORK/i" "$KEY" "$N" \
	"${HTTP[1]}" "${HTTP[2]}" "${HTTP[3]}" >>"$WORK/said" &
I=$!
together() { [ "$(conflux fleet -o json | jq '[.instances[] | select(.connected)] |
	length')" = "$N" ]; }
until_ok together
policy 1s '[{labels: {ring: canary}, pause: manual}, {percent: 50, pause: manual},
	{percent: 75, pause: manual}]'
# L is who leads.
leads() { L=$(conflux cluster status -o json | jq -r .leader_id) && [ "${L:-0}" != 0 ]; }
push five
until_ok leads
end_node "$L" KILL
until_ok brought
start_node "$L"
until_ok ready "$L"
R=$(release)
in_step() { [ "$(newest | jq -r '"\(.status.phase) \(.status.step)"')" = "Progressing $1" ]; }
# What the leader that came knows of those that got it.
applied() { conflux fleet "$R" --limit 100 -o json | jq -e '.instances |
	length >= 6 and all(.state == "applied")'; }
for s in 1 2 3; do
	until_ok in_step "$s"
	until_ok leads
	end_node "$L" KILL
	start_node "$L"
	for n in 1 2 3; do until_ok ready "$n"; done
	until_ok applied
	conflux release promote "acme/$R" >"$WORK/out"
done
until_ok phase_is Completed
is "$(release)" "$R" release
is "$(newest | jq -r .spec.author)" source:acme/shop "who brought it"
until_ok all_have five "$N"
is "$(newest | jq '[.status.history[] | select(.what | test("advance"))] | map(.step) |
	length == (unique | length)')" true "each step once"
is "$(newest | jq -r '[.status.history[].what] | map(select(test("roll|abort"))) | length')" 0 \
	"nothing turned back"

step "what was rejected is rejected still when who heard it was killed"
conflux apply -f - >"$WORK/out" <<-EOT
	apiVersion: gitops.conflux.io/v1alpha1
	kind: ReleasePolicy
	metadata: {name: careful, namespace: acme}
	spec:
	  strategy: canary
	  conditions: {rejected: {atMost: 100}}
	  bake: 1s
	  steps: [{labels: {ring: canary}, pause: manual}]
EOT
publish "a bad six"
R=$(release)
rejected() { [ "$(states "$R")" = "rejected 6" ]; }
until_ok rejected
for _ in 1 2; do
	until_ok leads
	end_node "$L" KILL
	start_node "$L"
	for n in 1 2 3; do until_ok ready "$n"; done
	until_ok rejected
done
is "$(phase)" Progressing "it turned back, or went on"
conflux release abort "acme/$R" >"$WORK/out"
until_ok all_have five "$N"

step "who was away through all of a release has what it brought when he comes back"
end_instances
nobody() { [ "$(conflux fleet -o json | jq '[.instances[] | select(.connected)] | length')" = 0 ]; }
until_ok nobody
policy 300ms '[{labels: {ring: canary}}, {percent: 50}]'
publish seven
until_ok phase_is Completed
python3 "$(dirname "$0")/canary/instances.py" "$WORK/i" "$KEY" "$N" \
	"${HTTP[1]}" "${HTTP[2]}" "${HTTP[3]}" >>"$WORK/said" &
I=$!
until_ok all_have seven "$N"

step "where a node does not answer, no plan says how many instances it reaches"
until_ok leads
F=$((L % 3 + 1))
end_node "$F" KILL
CONFLUX_SERVER=${HTTP[$L]}
unknown() { [ "$(reached)" = "[null,true]" ]; }
until_ok unknown
start_node "$F"
until_ok ready "$F"
back() { [ "$(reached)" = "[$N,false]" ]; }
until_ok back
end_instances
for n in 1 2 3; do end_node "$n"; done
