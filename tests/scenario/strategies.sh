#!/usr/bin/env bash
# Each strategy from a git push to its end, with instances that follow it and a webhook
# that is told: a canary that turns back by itself and the commit after it, blue-green
# with a preview and a way back, named instances, pauses of a time, a failure that only
# pauses, an end by hand.
. "$(dirname "$0")/lib.bash"
HERE=$(realpath "$(dirname "$0")")
KEY=acme/shop/prod/one.toml

cat >"$WORK/receiver.py" <<'END'
import http.server, json, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["data"]
        with open(sys.argv[1] + "/told", "a") as f:
            f.write("%s %s\n" % (data["event"], data.get("name", "-")))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
with open(sys.argv[1] + "/port.new", "w") as f:
    f.write(str(server.server_port))
import os
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
server.serve_forever()
END
python3 "$WORK/receiver.py" "$WORK" &
until_ok test -s "$WORK/port"
start_daemon --webhooks-private-hosts true --webhooks-retry-most 1s
export CONFLUX_TOKEN=$TOKEN
make_tenant acme
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "told",
	"url": "http://127.0.0.1:'"$(cat "$WORK/port")"'/"}'
yes 201

git init -q --bare -b main "$WORK/origin.git"
git clone -q "$WORK/origin.git" "$WORK/repo" 2>/dev/null
cd "$WORK/repo"
git config user.name T && git config user.email t@example.invalid
mkdir -p shop/prod
# ONE TWO: what the files say.
commit() {
	echo "value = \"$1\"" >shop/prod/one.toml
	echo "value = \"$2\"" >shop/prod/two.toml
	git add -A && git commit -q -m "$1, $2" && git push -q origin HEAD:main
}
reconcile() { ask POST "$URL/api/v1/sources/acme/shop/reconcile?wait=true"; yes 200; }
push() { commit "$@" && reconcile; }
policy() {
	conflux apply -f - >"$WORK/out" <<-END
	apiVersion: gitops.conflux.io/v1alpha1
	kind: ReleasePolicy
	metadata: {name: how, namespace: acme}
	spec: {$1}
	END
}
newest() { conflux get releases -n acme -o json | jq -c '.items | last'; }
release() { newest | jq -r .metadata.name; }
is_phase() { [ "$(newest | jq -r '.status.phase // ""')" = "$1" ]; }
in_step() { [ "$(newest | jq -r '"\(.status.phase) \(.status.step)"')" = "Progressing $1" ]; }
# have N TEXT: so many instances have it.
have() { [ "$(cat "$WORK"/i/web-* | grep -cx "value = \"$2\"")" = "$1" ]; }
two_is() { [ "$(conflux fetch acme/shop/prod/two.toml)" = "value = \"$1\"" ]; }
told() { grep -qx "$1 $2" "$WORK/told"; }
# Of a release in their order, one a line.
is_told() {
	until_ok told "${1##* }" "$2"
	is "$(grep " $2\$" "$WORK/told" | cut -d' ' -f1 | tr '\n' ' ')" "$1 " "what was told of $2"
}

step "a source, and four instances"
commit start start
ask POST "$KUBE/namespaces/acme/confluxsources" -d '{
	"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxSource",
	"metadata": {"name": "shop"},
	"spec": {"url": "file://'"$WORK"'/origin.git", "ref": {"branch": "main"},
		"interval": "1h",
		"layout": {"files": {"pathTemplate": "{application}/{environment}/{name}"}}}}'
yes 201
reconcile
mkdir "$WORK/i"
python3 "$HERE/canary/instances.py" "$WORK/i" "$KEY" 4 "$URL" >"$WORK/said" &
I=$!
until_ok have 4 start

step "a policy that no release could go out by is refused, and holds up nothing"
for wrong in 'strategy: canary' 'strategy: canary, canary: {steps: [{percent: 10}]}' \
	'strategy: nodes, steps: [{percent: 10, pause: soon}]'; do
	policy "$wrong" 2>"$WORK/err" && fail "taken: $wrong"
	has "$(cat "$WORK/err")" "the release policy: "
done
is "$(conflux get releasepolicies -n acme 2>&1)" "no releasepolicies" "policies"

step "a push whose canary is rejected turns back, both files of it, and stays back"
policy 'strategy: canary, bake: 200ms, conditions: {applied: {atLeast: 100}, rejected: {atMost: 0}},
	steps: [{labels: {ring: canary}}]'
push "bad" "beside it"
R=$(release)
until_ok is_phase RolledBack
have 4 start || fail "somebody has it"
two_is start || fail "half of it is live"
is_told "RELEASE_STARTED ROLLED_BACK" "$R"
reconcile
two_is start || fail "the same commit came back"
is "$(release)" "$R" "the newest release"

step "the next commit goes on by itself, and brings the other file along"
push "good" "beside it"
until_ok is_phase Completed
until_ok have 4 good
two_is "beside it" || fail "the other file stayed behind"
is_told "RELEASE_STARTED COMPLETED" "$(release)"

step "blue-green: a preview, the switch, and back at once"
policy 'strategy: blue-green, keepPrevious: 1h, bake: 100ms, preview: {labels: {ring: canary}}'
push "green" "beside it"
R=$(release)
until_ok have 1 green
have 3 good || fail "more than the preview has it"
conflux release promote "acme/$R" >"$WORK/out"
until_ok is_phase Completed
until_ok have 4 green
conflux release rollback "acme/$R" -m "not so" >"$WORK/out"
until_ok is_phase RolledBack
until_ok have 4 good
has "$(conflux reconcile acme/shop 2>/dev/null)" "turned back: conflux release show acme/$R"
has "$(conflux get sources -n acme -o wide)" "turned back by release $R, held until a commit changes it: not so"

step "who goes back to it all the same lifts the hold, and the source is Ready again"
conflux rollback "$KEY" --version-id "$(conflux history "$KEY" -o name | head -n 1)" >"$WORK/out" 2>&1
has "$(cat "$WORK/out")" "is lifted: Git may bring it again"
until_ok have 4 green
has "$(conflux reconcile acme/shop)" "is live, and the repository has nothing newer"
OUT=$(conflux get sources -n acme -o wide)
has "$OUT" "release $R turned back, and nothing of it is held any more"
has "$OUT" True

step "nodes, and a pause of a time"
policy 'strategy: nodes, bake: 100ms, conditions: {applied: {atLeast: 100}},
	steps: [{nodes: [web-02], pause: 700ms}, {nodes: [web-03]}]'
T=$(date +%s%3N)
push "named" "beside it"
R=$(release)
until_ok grep -q "web-02 has version" "$WORK/said"
until_ok is_phase Completed
[ $(($(date +%s%3N) - T)) -ge 700 ] || fail "it did not pause"
until_ok have 4 named
is_told "RELEASE_STARTED STEP COMPLETED" "$R"
cat >"$WORK/order.py" <<'END'
import sys
lines = [l.split() for l in open(sys.argv[1]) if " has version " in l]
last = lines[-1][-1]
first = [l[1] for l in lines if l[-1] == last]
assert first[:2] == ["web-02", "web-03"], first
END
python3 "$WORK/order.py" "$WORK/said" || fail "the named ones were not first, in turn"

step "a failure that only pauses, goes on by hand, and an end by hand"
policy 'strategy: canary, bake: 100ms, onFailure: pause,
	conditions: {rejected: {atMost: 0}}, steps: [{labels: {ring: canary}, pause: manual}]'
push "bad again" "beside it"
R=$(release)
until_ok is_phase Paused
until_ok told PAUSED "$R"
conflux release abort "acme/$R" -m "enough" >"$WORK/out"
until_ok is_phase Aborted
until_ok told ABORTED "$R"
until_ok have 4 named
push "fine" "beside it"
R=$(release)
until_ok have 1 fine
conflux release pause "acme/$R" >"$WORK/out"
until_ok is_phase Paused
conflux release resume "acme/$R" >"$WORK/out"
until_ok in_step 1
conflux release promote "acme/$R" >"$WORK/out"
until_ok is_phase Completed
until_ok have 4 fine
until_ok told PROMOTED "$R"

step "one of a group waits for the other"
policy 'strategy: canary, bake: 100ms, concurrency: {group: shop, policy: Queue},
	steps: [{labels: {ring: canary}, pause: manual}]'
push "first" "beside it"
R=$(release)
until_ok have 1 first
push "first" "second"
is_phase Queued || fail "it did not wait: $(newest)"
Q=$(release)
conflux release promote "acme/$R" >"$WORK/out"
until_ok have 4 first
until_ok is_phase Progressing
conflux release promote "acme/$Q" >"$WORK/out"
until_ok two_is second
kill "$I"
wait "$I" 2>/dev/null || true
