#!/usr/bin/env bash
# The real kubectl: what people do with the kinds of the gate and of releases.
. "$(dirname "$0")/lib.bash"

step "kubectl is there, in its version"
KEPT=$(dirname "$(dirname "$CONFLUX_BIN")")/tools
rc=0
KUBECTL=$(sh "$(dirname "$0")/../tools/kubectl.sh" "$KEPT") || rc=$?
[ $rc = 0 ] || exit $rc

# kubectl sends no token over clear text.
new_key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
new_key -x509 -days 2 -subj /CN=ours -keyout "$WORK/ca.key" -out "$WORK/ca.pem"
new_key -new -subj /CN=server -keyout "$WORK/server.key" -out "$WORK/server.csr"
openssl x509 -req -in "$WORK/server.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" \
	-CAcreateserial -days 2 -out "$WORK/server.pem" \
	-extfile <(echo subjectAltName=IP:127.0.0.1) 2>/dev/null
printf 'cacert = "%s"\n' "$WORK/ca.pem" >"$WORK/.curlrc"
export CURL_HOME=$WORK
start_daemon --tls-cert-file "$WORK/server.pem" --tls-key-file "$WORK/server.key"
URL=https://${URL#http://} KUBE=https://${KUBE#http://}
make_tenant acme
make_tenant bank
# These kinds are there from a cluster version on that comes right after the start.
until_ok eval 'ask GET "$URL/_cluster/status" && [ "$(field .cluster_version)" -ge 5 ]'
config() { cat >"$WORK/$1.config" <<END; }
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "$URL", certificate-authority: "$WORK/ca.pem"}}]
users: [{name: u, user: {token: "$2"}}]
contexts: [{name: x, context: {cluster: c, user: u, namespace: acme}}]
current-context: x
END
config root "$TOKEN"
WHO=root
# k ARGUMENTS: OUT is what it says, on both channels, and RC how it ended.
k() {
	RC=0
	OUT=$(timeout 60 "$KUBECTL" --kubeconfig "$WORK/$WHO.config" --cache-dir "$WORK/cache" \
		"$@" 2>&1) || RC=$?
	[ $RC != 124 ] || fail "kubectl $* does not end: $OUT"
}
# well WORDS ARGUMENTS: it ends well and says these words.
well() { local words=$1; shift; k "$@"; is $RC 0 "kubectl $*: $OUT"; has "$OUT" "$words"; }
ill() { local words=$1; shift; k "$@"; is $RC 1 "kubectl $*: $OUT"; has "$OUT" "$words"; }
same() { local words=$1; shift; k "$@"; is $RC 0 "kubectl $*: $OUT"; is "$OUT" "$words" "kubectl $*"; }

step "what there is, and what it is called"
well "Server Version: v1." version
well $'\nreleasepolicies ' api-resources
well "gitops.conflux.io/v1alpha1" api-versions
well "Who must agree" explain approvalpolicy
well "<[]string>" explain appol.spec.stages.from
well "Names of configurations" explain freezewindow.spec.select
same $'NAME\nacme\nbank' get ns -o custom-columns=NAME:.metadata.name
same "No resources found in acme namespace." get relpol

step "apply: made, as it was, changed; a diff says what"
cat >"$WORK/all.yaml" <<END
apiVersion: gitops.conflux.io/v1alpha1
kind: ReleasePolicy
metadata: {name: canary, labels: {team: a}}
spec: {strategy: canary, steps: [{percent: 10, bake: 1m}, {percent: 100, bake: 1m}]}
---
apiVersion: gitops.conflux.io/v1alpha1
kind: FreezeWindow
metadata: {name: xmas}
spec:
  owner: ops
  reason: holidays
  schedule: {cron: "0 0 24 12 *", duration: 72h, timeZone: Europe/Berlin}
  select: {environments: [prod]}
---
apiVersion: gitops.conflux.io/v1alpha1
kind: Webhook
metadata: {name: hook}
spec: {url: "https://example.org/x", events: [PROPOSAL_CREATED], suspend: true}
---
apiVersion: gitops.conflux.io/v1alpha1
kind: ApprovalPolicy
metadata: {name: two}
spec: {select: {environments: [prod]}, stages: [{required: 1, from: {groups: [owners]}}]}
---
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxSource
metadata: {name: repo}
spec: {url: "https://example.invalid/repo.git", interval: 1h, suspend: true}
END
# kinds WORD: a line for each object of the file.
lines() {
	for o in releasepolicy/canary freezewindow/xmas webhook/hook approvalpolicy/two \
		confluxsource/repo; do
		echo "${o%/*}.gitops.conflux.io/${o#*/} $1"
	done
}
# A diff of what is not there yet shows all of it, and makes nothing.
k diff -f "$WORK/all.yaml"
is $RC 1 diff
has "$OUT" "+  strategy: canary"
same "$(lines "created (server dry run)")" apply --dry-run=server -f "$WORK/all.yaml"
same "No resources found in acme namespace." get relpol,appol,freeze,hook,src
same "$(lines created)" apply -f "$WORK/all.yaml"
same "$(lines unchanged)" apply -f "$WORK/all.yaml"
same "" diff -f "$WORK/all.yaml"
ill 'webhooks.gitops.conflux.io "hook" already exists' create -f "$WORK/all.yaml"
sed -i 's/percent: 10,/percent: 20,/; s/reason: holidays/reason: feasts/' "$WORK/all.yaml"
k diff -f "$WORK/all.yaml"
is $RC 1 diff
# Nothing but what was changed, and the generation, which would be the next.
is "$(grep '^[-+] ' <<<"$OUT" | tr -s ' ' | sort)" "+ generation: 2
+ generation: 2
+ percent: 20
+ reason: feasts
- generation: 1
- generation: 1
- percent: 10
- reason: holidays" "the diff: $OUT"
well "releasepolicy.gitops.conflux.io/canary configured (server dry run)" \
	apply --dry-run=server -f "$WORK/all.yaml"
same 10 get relpol canary -o jsonpath='{.spec.steps[0].percent}'
well "freezewindow.gitops.conflux.io/xmas configured" apply -f "$WORK/all.yaml"
same "20 2" get relpol canary -o jsonpath='{.spec.steps[0].percent} {.metadata.generation}'
same feasts get freeze xmas -o jsonpath={.spec.reason}
# What is no longer in the file goes.
sed -i '/^metadata: {name: canary/s/, labels.*/}/' "$WORK/all.yaml"
well "canary configured" apply -f "$WORK/all.yaml"
same "" get relpol canary -o jsonpath={.metadata.labels}

step "what is wrong is said with its place, also of several at once"
cat >"$WORK/bad.yaml" <<END
apiVersion: gitops.conflux.io/v1alpha1
kind: ApprovalPolicy
metadata: {name: bad}
spec: {stages: []}
---
apiVersion: gitops.conflux.io/v1alpha1
kind: Webhook
metadata: {name: bad}
spec: {url: nowhere}
END
ill 'spec.stages: Invalid value: 0 items' apply -f "$WORK/bad.yaml"
has "$OUT" 'Webhook.gitops.conflux.io "bad" is invalid: spec.url: Invalid value'
cat >"$WORK/bad.yaml" <<END
apiVersion: gitops.conflux.io/v1alpha1
kind: Webhook
metadata: {name: bad}
spec: {url: "https://example.org", bogus: 1}
END
ill 'strict decoding error: unknown field "spec.bogus"' apply -f "$WORK/bad.yaml"
well 'Warning: unknown field "spec.bogus"' apply --validate=warn --dry-run=server \
	-f "$WORK/bad.yaml"
ill 'webhooks.gitops.conflux.io "bad" not found' get hook bad

step "lists: columns, wide, labels, selectors, order, yaml"
well "STRATEGY" get relpol
hasnt "$OUT" NAMESPACE
well "NAMESPACE   NAME" get appol -A
well "(in " get freeze
hasnt "$OUT" feasts
well feasts get freeze -o wide
well "releasepolicy.gitops.conflux.io/canary labeled" label relpol canary team=b
well "team=b" get relpol --show-labels
same releasepolicy.gitops.conflux.io/canary get relpol -l 'team in (b)' -o name
same "" get relpol -l team=c -o name
sed 's/name: xmas/name: acorn/; s/reason: feasts/reason: zzz/' "$WORK/all.yaml" |
	sed -n '/^kind: FreezeWindow/,/^---/p' | sed '1i apiVersion: gitops.conflux.io/v1alpha1
		/^---/d' >"$WORK/acorn.yaml"
well created create -f "$WORK/acorn.yaml"
same $'freezewindow.gitops.conflux.io/xmas\nfreezewindow.gitops.conflux.io/acorn' \
	get freeze --sort-by=.spec.reason -o name
well $'xmas ' get freeze --sort-by=.spec.reason
is "$(awk 'NR > 1 { print $1 }' <<<"$OUT" | tr '\n' ' ')" "xmas acorn " "rows in order"
well "freezewindow.gitops.conflux.io \"acorn\" deleted" delete -f "$WORK/acorn.yaml"
well "kind: List" get relpol -o yaml
well "webhook.gitops.conflux.io/hook" get conflux -o name

step "edit and patch; what changes nothing says so"
export EDITOR="sed -i s/priority:.0/priority:\\ 7/"
well edited edit relpol canary
same 7 get relpol canary -o jsonpath={.spec.priority}
EDITOR=true well "no changes made" edit relpol canary
same "releasepolicy.gitops.conflux.io/canary patched" \
	patch relpol canary --type=merge -p '{"spec": {"priority": 8}}'
well "(no change)" patch relpol canary --type=merge -p '{"spec": {"priority": 8}}'
ill "not supported by gitops.conflux.io/v1alpha1" \
	patch relpol canary -p '{"spec": {"priority": 9}}'
well "webhook.gitops.conflux.io/hook replaced" replace -f "$WORK/all.yaml"
same 0 get relpol canary -o jsonpath={.spec.priority}
ill "the object has been modified" annotate relpol canary --resource-version=1 note=x

step "proposals and releases are shown, described, waited for, and nobody's to write"
make_config db.txt hello
yes 202
PROPOSAL=$(field '.proposal_id | ltrimstr("acme/")')
well Pending get prop
well "Phase:       Pending" describe prop "$PROPOSAL"
well "Time Zone:  Europe/Berlin" describe freeze xmas
well "condition met" wait --for=jsonpath='{.status.phase}'=Pending "prop/$PROPOSAL" --timeout=30s
ill "timed out" wait --for=jsonpath='{.status.phase}'=Executed "prop/$PROPOSAL" --timeout=1s
ill MethodNotAllowed delete prop "$PROPOSAL"
ill MethodNotAllowed annotate prop "$PROPOSAL" note=x
# Nobody but the owners may, and these are one.
ANN=$(conflux token create --ca-file "$WORK/ca.pem" --server "$URL" --subject ann --group owners \
	--verb approve --verb publish)
"$KUBECTL" --kubeconfig "$WORK/root.config" --cache-dir "$WORK/cache" wait --timeout=60s \
	--for=jsonpath='{.status.phase}'=Executed "prop/$PROPOSAL" >"$WORK/waited" 2>&1 &
WAITS=$!
OLD=$TOKEN TOKEN=$ANN
ask POST "$URL/api/v1/proposals/acme/$PROPOSAL/approve" -d '{}'
TOKEN=$OLD
yes 200
wait $WAITS || fail "$(cat "$WORK/waited")"
well "Executed" get prop
well "Completed" get rel -o jsonpath='{.items[*].status.phase}'
well "Type:       publish" describe rel
same hello get --raw "/api/v1/fetch/config/acme/shop/prod/db.txt"

step "a watch tells what comes, once each, in order, and who goes"
"$KUBECTL" --kubeconfig "$WORK/root.config" --cache-dir "$WORK/cache" get appol -w \
	--output-watch-events --no-headers >"$WORK/watched" 2>&1 &
WATCH=$!
until_ok grep -q ADDED "$WORK/watched"
for p in 1 2; do
	same "approvalpolicy.gitops.conflux.io/two patched" \
		patch appol two --type=merge -p "{\"spec\": {\"priority\": $p}}"
done
same 'approvalpolicy.gitops.conflux.io "two" deleted from acme namespace' delete appol two
until_ok grep -q DELETED "$WORK/watched"
kill $WATCH
wait $WATCH || true
is "$(awk '{ print $1, $2, $3 }' "$WORK/watched")" "ADDED two 0
MODIFIED two 1
MODIFIED two 2
DELETED two 2" "what the watch says"

step "who may read only, and who is of another tenant, is told so in kubectl's words"
token() { conflux token create --ca-file "$WORK/ca.pem" --server "$URL" "$@"; }
config eve "$(token --subject eve --tenant bank)"
WHO=eve
well "releasepolicies " api-resources
ill '(Forbidden)' get relpol
ill '(Forbidden)' get relpol -A
ill '(Forbidden)' get ns
well "No resources found" get relpol -n bank
ill '(Forbidden)' create -n bank -f "$WORK/acorn.yaml"
config nobody nobody
WHO=nobody
ill "You must be logged in" get relpol
WHO=root

step "deleted is gone, and waited for"
well 'deleted from acme namespace (server dry run)' delete --dry-run=server relpol canary
well STRATEGY get relpol canary
k delete -f "$WORK/all.yaml" --ignore-not-found
is $RC 0 "$OUT"
is "$(grep -c 'deleted from acme namespace' <<<"$OUT")" 4 "$OUT"
ill '(NotFound): releasepolicies.gitops.conflux.io "canary" not found' delete relpol canary
same "No resources found in acme namespace." get relpol,appol,freeze,hook,src
ill 'namespaces "nowhere" not found' create -n nowhere -f <(sed 's/, *namespace: acme//' "$WORK/acorn.yaml")
stop_daemon
