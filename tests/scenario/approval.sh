#!/usr/bin/env bash
# The gate as people meet it: a plan, a policy, a publish that waits, votes, what voids
# them, ways past it, freeze windows; by REST, the command, kubectl's routes and gRPC.
. "$(dirname "$0")/lib.bash"
start_daemon
ROOT=$TOKEN
make_tenant acme
until_ok conflux token create first --subject first

create() { local name=$1; shift; conflux token create --subject "$name" "$@" 2>"$WORK/created" || fail "$(cat "$WORK/created")"; }
ANN=$(create ann --verb publish --verb approve --tenant acme)
BEN=$(create ben --verb approve --group leads --tenant acme)
BEN2=$(create ben --verb approve --group leads --tenant acme)
CEM=$(create cem --verb approve --group ops --tenant acme)
DEB=$(create deb --verb publish --verb rollback --verb approve --group oncall --tenant acme)
as() { TOKEN=$1; shift; CONFLUX_TOKEN=$TOKEN "$@"; TOKEN=$ROOT; }
by() { local token=$1; shift; CONFLUX_TOKEN=$token conflux "$@"; }
live() { conflux fetch "acme/shop/prod/$1"; }

cat >"$WORK/app.yaml" <<'END'
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxConfig
metadata: {name: shop.prod.app.yaml, namespace: acme}
spec:
  application: shop
  environment: prod
  name: app.yaml
  content: |
    timeout: 10s
    db: {host: db1, password: hush}
    zones: [{name: eu, size: 2}, {name: us, size: 1}]
END

step "a plan says what would be done, without secrets, and is applied as it is"
PLAN=$(by "$ANN" plan -f "$WORK/app.yaml" --out "$WORK/one.plan")
has "$PLAN" "create ConfluxConfig acme/shop/prod/app.yaml"
has "$PLAN" "timeout"
hasnt "$PLAN" hush
hasnt "$(cat "$WORK/one.plan")" hush
has "$PLAN" "reaches 1 configuration, 1 application, 1 environment"
rc=0; by "$ANN" plan -f "$WORK/app.yaml" --detailed-exitcode >/dev/null || rc=$?
is $rc 8 "exit code"
has "$(by "$ANN" apply "$WORK/one.plan")" applied
has "$(live app.yaml)" "timeout: 10s"
rc=0; OUT=$(by "$ANN" plan -f "$WORK/app.yaml" --detailed-exitcode) || rc=$?
is $rc 0 "exit code"
has "$OUT" "nothing to do"

step "one that was made of another state is refused by name"
sed -i 's/10s/30s/; s/hush/hushhush/; s/size: 2/size: 3/' "$WORK/app.yaml"
PLAN=$(by "$ANN" plan -f "$WORK/app.yaml" --out "$WORK/two.plan")
has "$PLAN" '~ timeout: "10s" -> "30s"'
has "$PLAN" '~ db.password: "***" -> "***"'
has "$PLAN" '~ zones[name=eu].size: 2 -> 3'
echo 'timeout: 11s' >"$WORK/other"
by "$ANN" publish acme/shop/prod/app.yaml -f "$WORK/other" >/dev/null
rc=0; OUT=$(by "$ANN" apply "$WORK/two.plan" 2>&1) || rc=$?
is $rc 6 "exit code"
has "$OUT" "shop.prod.app.yaml"
has "$(live app.yaml)" 11s

step "large contents, many objects and removals are one plan, done at once"
python3 - >"$WORK/many.json" <<'END'
import json
def config(name, content):
    return {"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxConfig",
            "metadata": {"name": "many.test." + name, "namespace": "acme"},
            "spec": {"application": "many", "environment": "test", "name": name,
                     "format": "text", "content": content}}
print(json.dumps({"manifests": [config("big", "x" * 200000 + "\n")] +
                  [config("c%d" % i, "number %d\n" % i) for i in range(100)]}))
END
as "$ANN" ask POST "$URL/api/v1/plans" -d @"$WORK/many.json"
yes 201
is "$(field '.operations | length')" 202 operations
is "$(field '.changes | length')" 101 changes
MANY=$(field .digest)
as "$ANN" ask POST "$URL/api/v1/plans" -d @"$WORK/many.json"
is "$(field .digest)" "$MANY" "the digest of the same"
as "$ANN" ask POST "$URL/api/v1/plans/$MANY/apply" -d '{"reason": "all of it"}'
yes 200
is "$(conflux fetch acme/many/test/big | wc -c)" 200001 bytes
is "$(conflux fetch acme/many/test/c99)" "number 99" content
as "$ANN" ask POST "$URL/api/v1/plans/$MANY/apply" -d '{}'
yes 409
GONE='{"kind": "ConfluxConfig", "metadata": {"name": "many.test.c99", "namespace": "acme"}}'
jq --argjson gone "$GONE" '.manifests |= [.[-1] | .spec.content = "other\n"] | .delete = [$gone]' \
	"$WORK/many.json" >"$WORK/both.json"
as "$ANN" ask POST "$URL/api/v1/plans" -d @"$WORK/both.json"
yes 422
has "$BODY" "twice, to be written and to be deleted"
as "$ANN" ask POST "$URL/api/v1/plans" -d "{\"delete\": [$GONE]}"
yes 201
is "$(field '.operations[0].op')" delete operation
as "$ANN" ask POST "$URL/api/v1/plans/$(field .digest)/apply"
yes 200
rc=0; conflux fetch acme/many/test/c99 >/dev/null 2>&1 || rc=$?
is $rc 3 "exit code"

step "with a policy a publish waits; its author does not approve it"
conflux apply -f - >/dev/null <<'END'
apiVersion: gitops.conflux.io/v1alpha1
kind: ApprovalPolicy
metadata: {name: prod, namespace: acme}
spec:
  select: {environments: [prod]}
  stages:
  - {name: lead, from: {groups: [leads], subjects: [ann]}}
  - {name: ops, from: {groups: [ops]}}
  breakGlass: {groups: [oncall]}
END
has "$(by "$ANN" plan -f "$WORK/app.yaml")" "needs approval (prod): 1 of ann, group leads"
ask GET "$URL/api/v1/mgt/configs?address=acme/shop/prod/app.yaml"
ID=$(field .id)
as "$ANN" ask POST "$URL/api/v1/mgt/configs/$ID/publish" \
	-d '{"content": "timeout: 12s\n", "message": "slower"}'
yes 202
P=$(field .proposal_id)
is "$(field .approval_status)" Pending status
has "$(field .message)" "waits for approval"
is "$(field .approval_dashboard_url)" "$URL/api/v1/proposals/$P" url
is "$(header location)" "$URL/api/v1/proposals/$P" location
has "$(live app.yaml)" 11s
as "$ANN" ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H "Host: a/b <c>" \
	-d '{"content": "timeout: 12s\n", "message": "slower"}'
yes 202
is "$(field .proposal_id)" "$P" "the same change is the same proposal"
is "$(field .approval_dashboard_url)" "/api/v1/proposals/$P" url
rc=0; OUT=$(by "$ANN" approve "$P" 2>&1) || rc=$?
is $rc 5 "exit code"
ask GET "$URL/api/v1/proposals/$P"
is "$(field .status.phase)" Pending phase
has "$(field '.plan.changes[0].diff')" '"12s"'
has "$(by "$ANN" proposals)" "$P"

step "stages open in order, a subject with two tokens counts once, the last one releases"
rc=0; OUT=$(by "$CEM" approve "$P" 2>&1) || rc=$?
is $rc 6 "exit code"
has "$OUT" stage
has "$(by "$BEN" approve "$P" -m "fine by me")" "$P: Pending, approvals 1/1, 0/1"
by "$BEN2" approve "$P" >/dev/null
rc=0; by "$CEM" approve "$P" --digest "$(printf x | sha256sum | cut -c1-64)" >/dev/null 2>&1 || rc=$?
[ $rc != 0 ] || fail "another digest was approved"
by "$CEM" approve "$P" >/dev/null
executed() { ask GET "$URL/api/v1/proposals/$P"; [ "$(field .status.phase)" = Executed ]; }
until_ok executed
has "$(live app.yaml)" 12s
OUT=$(conflux proposals "$P")
has "$OUT" "fine by me"
has "$OUT" "phase:      Executed"
ask GET "$URL/api/v1/mgt/configs/$ID/versions"
rc=0; by "$CEM" approve "$P" >/dev/null 2>&1 || rc=$?
is $rc 6 "exit code of a late vote"

step "a second proposal for the same configuration names the first; a cancelled one is over"
echo 'timeout: 13s' >"$WORK/a"; echo 'timeout: 14s' >"$WORK/b"
OUT=$(by "$ANN" publish acme/shop/prod/app.yaml -f "$WORK/a" 2>/dev/null)
has "$OUT" "waits for approval: proposal acme/"
P=$(by "$ANN" proposals --phase Pending -o name)
rc=0; OUT=$(by "$DEB" publish acme/shop/prod/app.yaml -f "$WORK/b" 2>&1) || rc=$?
is $rc 6 "exit code"
has "$OUT" "${P#acme/}"
rc=0; by "$DEB" cancel "$P" >/dev/null 2>&1 || rc=$?
is $rc 5 "exit code of cancelling another's"
has "$(by "$ANN" cancel "$P" -m "not now")" Cancelled
P=$(by "$DEB" publish acme/shop/prod/app.yaml -f "$WORK/b" -o name 2>/dev/null)
P=${P#proposal/}
has "$(by "$BEN" reject "$P" -m "too slow")" Rejected
has "$(live app.yaml)" 12s

step "kubectl gets the object as it is, and a warning"
as "$ANN" ask GET "$KUBE/namespaces/acme/confluxconfigs/shop.prod.app.yaml"
yes 200
as "$ANN" ask PUT "$KUBE/namespaces/acme/confluxconfigs/shop.prod.app.yaml" \
	-d "$(jq '.spec.content = "timeout: 15s\n" | del(.status)' <<<"$BODY")"
yes 202
is "$(field .kind)" ConfluxConfig kind
has "$(header warning)" "waits for approval: proposal acme/"
P=$(header x-conflux-proposal)
by "$ANN" cancel "$P" >/dev/null
sed -i 's/30s/31s/' "$WORK/app.yaml"
has "$(by "$ANN" apply -f "$WORK/app.yaml")" \
	"confluxconfig/shop.prod.app.yaml waits for approval: proposal acme/"
P=$(by "$ANN" proposals --phase Pending -o name)
by "$ANN" cancel "$P" >/dev/null
as "$ANN" ask DELETE "$KUBE/namespaces/acme/confluxconfigs/shop.prod.app.yaml"
yes 202
by "$ANN" cancel "$(header x-conflux-proposal)" >/dev/null
has "$(live app.yaml)" 12s

step "gRPC says it in fields of its answer"
python3 - >"$WORK/message" <<'END'
import sys
def field(n, data): return bytes([n << 3 | 2, len(data)]) + data
at = b"".join(field(i + 1, s) for i, s in enumerate((b"acme", b"shop", b"prod", b"app.yaml")))
message = field(1, at) + field(2, b"timeout: 17s\n") + field(6, b"by grpc")
sys.stdout.buffer.write(b"\0" + len(message).to_bytes(4, "big") + message)
END
as "$ANN" ask POST "$URL/conflux.v1.ManagementService/Publish" --http2-prior-knowledge \
	-H 'Content-Type: application/grpc' -H 'TE: trailers' --data-binary @"$WORK/message"
is "$(header grpc-status)" 0 status
P=$(by "$ANN" proposals --phase Pending -o name)
has "$BODY" "$P"
has "$BODY" Pending
has "$(live app.yaml)" 12s
by "$ANN" cancel "$P" >/dev/null

step "a dry run says that it would wait, and changes nothing"
as "$ANN" ask GET "$KUBE/namespaces/acme/confluxconfigs/shop.prod.app.yaml"
as "$ANN" ask PUT "$KUBE/namespaces/acme/confluxconfigs/shop.prod.app.yaml?dryRun=All" \
	-d "$(jq '.spec.content = "timeout: 16s\n" | del(.status)' <<<"$BODY")"
yes 200
has "$(header warning)" "would wait for approval (ApprovalPolicy prod)"
as "$ANN" ask PUT "$KUBE/namespaces/acme/confluxconfigs/shop.prod.app.yaml?dryRun=All" \
	-d "$(jq '.spec.content = "timeout: 12s\n" | del(.status)' <<<"$BODY")"
yes 200
is "$(header warning)" "" warning

step "a plan waits as a whole"
by "$ANN" plan -f "$WORK/app.yaml" --out "$WORK/three.plan" >/dev/null
OUT=$(by "$ANN" apply "$WORK/three.plan" 2>/dev/null)
has "$OUT" "waits for approval: proposal acme/"
P=$(by "$ANN" proposals --phase Pending -o name)
by "$BEN" approve "$P" >/dev/null
by "$CEM" approve "$P" >/dev/null
until_ok executed
has "$(live app.yaml)" 31s

step "past the gate: with a reason, by whom the policy names, and reviewed by another"
rc=0; by "$ANN" publish acme/shop/prod/app.yaml -f "$WORK/a" --break-glass "fire" \
	>/dev/null 2>&1 || rc=$?
[ $rc != 0 ] || fail "who is not named broke the glass"
has "$(by "$DEB" publish acme/shop/prod/app.yaml -f "$WORK/a" --break-glass "the shop is down" 2>"$WORK/glass")" \
	"is live"
has "$(live app.yaml)" 13s
ask GET "$URL/api/v1/proposals?review=Open"
P=$(field '.proposals[0].id')
is "$(field '.proposals[0].spec.author')" deb author
has "$(conflux proposals)" "review open"
is "$(conflux proposals --review -o name)" "$P" "open reviews"
is "$(conflux proposals --limit 1 -o name)" "$P" "what is to be reviewed is not behind what is over"
has "$(conflux proposals --limit 1 2>&1 >"$WORK/out")" "more: --limit, or --after open/$P"
rc=0; by "$DEB" review "$P" >/dev/null 2>&1 || rc=$?
is $rc 5 "exit code of one's own review"
has "$(cat "$WORK/glass")" "somebody else is to review it: conflux review $P"
is "$(by "$BEN" review "$P" -m "was right")" "$P: reviewed" "what is said"
ask GET "$URL/api/v1/proposals?review=Open"
is "$(field '.proposals | length')" 0 "open reviews"

step "a freeze window names itself; a plan says so before"
conflux apply -f - >/dev/null <<END
apiVersion: gitops.conflux.io/v1alpha1
kind: FreezeWindow
metadata: {name: holidays, namespace: acme}
spec:
  select: {applications: [other]}
  owner: release-managers
  reason: nobody is here
  interval: {start: "2020-01-01T00:00:00Z", end: "2099-01-01T00:00:00Z"}
END
has "$(conflux get freezewindows -n acme)" "frozen until 2099-01-01T00:00:00Z (in "
sed 's/shop/other/g' "$WORK/app.yaml" | sed 's/prod/test/g' >"$WORK/other.yaml"
OUT=$(by "$ANN" plan -f "$WORK/other.yaml")
has "$OUT" "frozen by holidays (release-managers): nobody is here, until 2099-01-01T00:00:00Z"
rc=0; OUT=$(by "$ANN" apply -f "$WORK/other.yaml" 2>&1) || rc=$?
is $rc 4 "exit code"
has "$OUT" "holidays"

step "a release that goes out in steps is moved by people"
conflux apply -f - >/dev/null <<END
apiVersion: gitops.conflux.io/v1alpha1
kind: ReleasePolicy
metadata: {name: careful, namespace: acme}
spec: {select: {applications: [steps]}, strategy: canary, bake: 0s, steps: [
	{labels: {canary: "true"}, pause: manual}, {labels: {zone: eu}, pause: manual}]}
END
sed 's/shop/steps/g; s/prod/dev/g' "$WORK/app.yaml" >"$WORK/steps.yaml"
FAY=$(create fay --verb publish --verb promote --verb pause --verb rollback --tenant acme)
by "$FAY" apply -f "$WORK/steps.yaml" >/dev/null
sed -i 's/31s/41s/' "$WORK/steps.yaml"
has "$(by "$FAY" plan -f "$WORK/steps.yaml")" "goes out by careful: canary"
by "$FAY" apply -f "$WORK/steps.yaml" >/dev/null
R=$(by "$FAY" release list --phase Paused -n acme -o name || true)
phase() { R=$(by "$FAY" release list -n acme -o name | head -n 1); [ "$(conflux release show "$R" -o json | jq -r .object.status.phase)" = "$1" ]; }
step_is() { [ "$(conflux release show "$R" -o json | jq -r .object.status.step)" = "$1" ]; }
has "$(conflux fetch acme/steps/dev/app.yaml)" 31s
has "$(conflux fetch acme/steps/dev/app.yaml -l canary=true)" 41s
R=$(by "$FAY" release list -n acme -o name | head -n 1)
rc=0; by "$ANN" release pause "$R" >/dev/null 2>&1 || rc=$?
is $rc 5 "exit code of who may not"
until_ok by "$FAY" release promote "$R" -m "looks good"
until_ok step_is 2
has "$(conflux fetch acme/steps/dev/app.yaml -l zone=eu)" 41s
has "$(conflux fetch acme/steps/dev/app.yaml)" 31s
as "$FAY" ask POST "$URL/api/v1/releases/$R/promote" -d '{"step": 1}'
yes 409
has "$(by "$FAY" release rollback "$R" -m "errors in eu")" RolledBack
has "$(conflux fetch acme/steps/dev/app.yaml -l zone=eu)" 31s
OUT=$(conflux release show "$R")
has "$OUT" "looks good"
has "$OUT" "errors in eu"
rc=0; by "$FAY" release promote "$R" >/dev/null 2>&1 || rc=$?
is $rc 6 "exit code of a move that is too late"

step "what the audit log says of all that"
ask GET "$URL/api/v1/audit?limit=1000"
for action in propose approve reject cancel review execute; do
	has "$(field '.records[].action')" "$action"
done
has "$(field '.records[].reason')" "the shop is down"
