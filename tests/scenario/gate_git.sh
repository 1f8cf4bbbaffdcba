#!/usr/bin/env bash
# Git under approval: what is pushed waits, is approved, taken over by a newer commit,
# rejected; starts when it is time, over a restart; and what is turned back is offered to
# Git on a branch of its own.
. "$(dirname "$0")/lib.bash"
HERE=$(realpath "$(dirname "$0")")
start_daemon
ROOT=$TOKEN
make_tenant acme
until_ok conflux token create first --subject first
ANN=$(conflux token create ann --subject ann --verb approve --tenant acme 2>/dev/null)
SRC=$KUBE/namespaces/acme/confluxsources/shop

git init -q --bare -b main "$WORK/origin.git"
git clone -q "$WORK/origin.git" "$WORK/repo" 2>/dev/null
cd "$WORK/repo"
git config user.name T && git config user.email t@example.invalid
mkdir -p shop/prod
# N: both files say it, in a commit that is pushed and fetched.
push() {
	echo "value = $1" >shop/prod/one.toml
	echo "value = $1" >shop/prod/two.toml
	git add -A && git commit -q -m "value $1" && git push -q origin HEAD:main
	reconcile
}
reconcile() { ask POST "$URL/api/v1/sources/acme/shop/reconcile?wait=true"; }
live() { is "$(conflux fetch acme/shop/prod/one.toml) $(conflux fetch acme/shop/prod/two.toml)" "value = $1 value = $1" live; }
serves() { [ "$(conflux fetch acme/shop/prod/two.toml)" = "value = $1" ]; }
source_says() { ask GET "$SRC"; field "$1"; }
ready_reason() { source_says '.status.conditions[] | select(.type == "Ready") | .reason'; }
proposal() { conflux proposals "acme/$1" -o json | jq -r "$2"; }
phase() { proposal "$1" '.. | objects | select(has("phase")) | .phase' | head -n 1; }
is_phase() { [ "$(phase "$1")" = "$2" ]; }
approve() { CONFLUX_TOKEN=$ANN conflux approve "acme/$1" >/dev/null; }
proposals() { conflux proposals -n acme -o json | jq '[.. | objects | select(has("phase"))] | length'; }

step "before there is a policy a push is live"
ask POST "$KUBE/namespaces/acme/confluxsources" -d '{
	"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxSource",
	"metadata": {"name": "shop"},
	"spec": {"url": "file://'"$WORK"'/origin.git", "ref": {"branch": "main"},
		"interval": "1h", "revert": {},
		"layout": {"files": {"pathTemplate": "{application}/{environment}/{name}"}}}}'
yes 201
push 1
live 1

window() { # NAME
	conflux apply -f - >/dev/null <<-END
	apiVersion: gitops.conflux.io/v1alpha1
	kind: FreezeWindow
	metadata: {name: $1, namespace: acme}
	spec: {owner: ops, reason: it is sale, interval: {start: "2020-01-01T00:00:00Z", end: "2099-01-01T00:00:00Z"}}
	END
}

step "a push into a freeze window is refused, and live when it has opened"
window sale
push 101
is "$(field .code)" frozen "what a reconcile says"
is "$(ready_reason)" Frozen Ready
has "$(source_says .status)" "freeze window sale of ops is open until 2099-01-01T00:00:00Z: it is sale"
live 1
conflux delete freezewindow sale -n acme >/dev/null
reconcile
live 101

policy() {
	conflux apply -f - >/dev/null <<-END
	apiVersion: gitops.conflux.io/v1alpha1
	kind: ApprovalPolicy
	metadata: {name: prod, namespace: acme}
	spec:
	  startAfter: $1
	  stages: [{from: {subjects: [${2:-ann}]}}]
	END
}

step "with one it waits, the source says for what, and is live once it is approved"
policy 0s
push 2
P2=$(source_says .status.proposal)
is "$(phase "$P2")" Pending phase
is "$(ready_reason)" WaitingForApproval Ready
live 101
approve "$P2"
until_ok is_phase "$P2" Executed
live 2

step "what is approved waits for the window's end as well, and says so"
window sale
push 102
PW=$(source_says .status.proposal)
approve "$PW"
held() { conflux proposals "acme/$PW" | grep -q "^waits for: *freeze window sale of ops is open until"; }
until_ok held
is "$(phase "$PW")" Approved phase
live 2
conflux delete freezewindow sale -n acme >/dev/null
until_ok is_phase "$PW" Executed
live 102

step "a system approves what was pushed, by callback"
sed -n '/<!-- sign.sh -->/,/^```$/p' "$HERE/../../docs/webhooks.md" | sed '1,2d;$d' >"$WORK/sign.sh"
# shellcheck disable=SC1091
. "$WORK/sign.sh"
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "ci",
	"url": "https://ci.example.invalid/", "mayApprove": true, "events": ["DRIFT"]}'
yes 201
field .key >"$WORK/ci.hex"
tr -d '\n' <"$WORK/ci.hex" >"$WORK/ci.key"
policy 0s 'ann, "webhook:acme/ci"'
push 103
PC=$(source_says .status.proposal)
printf '{"proposal": "%s", "digest": "%s", "decision": "approve", "reason": "tests passed"}' \
	"$PC" "$(proposal "$PC" .spec.digest)" >"$WORK/callback"
callback() { # ID TIMESTAMP [SIGNATURE]
	ask POST "$URL/api/v1/callbacks/acme/ci" --data-binary @"$WORK/callback" -H "Authorization:" \
		-H "X-Conflux-Id: $1" -H "X-Conflux-Timestamp: $2" \
		-H "X-Conflux-Signature-256: ${3:-$(sign "$WORK/ci.key" "$1" "$2" "$WORK/callback")}"
}
callback bad "$(date +%s)" "sha256=$(printf '0%.0s' $(seq 64))"
yes 401
callback late $(($(date +%s) - 301))
yes 401
is "$(phase "$PC")" Pending phase
live 102
callback good "$(date +%s)"
yes 200
until_ok is_phase "$PC" Executed
live 103
callback good "$(date +%s)"
yes 200
is "$(field .replayed)" true "the same once more"
policy 0s

step "of two changes of one file the second waits until the first is decided"
PUB=$(conflux token create pub --subject pub --verb publish --tenant acme 2>/dev/null)
OUT=$(echo "value = 107" | CONFLUX_TOKEN=$PUB conflux publish acme/shop/prod/two.toml -f - --take-over 2>"$WORK/url")
PM=$(grep -o 'p-[0-9]*' <<<"$OUT" | head -n 1)
push 104
is "$(field .code)" proposal-pending "what a reconcile says"
has "$BODY" "$PM"
CONFLUX_TOKEN=$PUB conflux cancel "acme/$PM" >/dev/null
push 105
P2=$(source_says .status.proposal)
approve "$P2"
until_ok is_phase "$P2" Executed
live 105

step "behind a broken glass nothing waits, and what was pushed is superseded"
conflux apply -f - >/dev/null <<-END
	apiVersion: gitops.conflux.io/v1alpha1
	kind: ApprovalPolicy
	metadata: {name: prod, namespace: acme}
	spec:
	  operations: [publish, rules, write, rollback]
	  breakGlass: {subjects: [deb]}
	  stages: [{from: {subjects: [ann]}}]
END
DEB=$(conflux token create deb --subject deb --verb rollback --tenant acme 2>/dev/null)
push 106
PG=$(source_says .status.proposal)
CONFLUX_TOKEN=$DEB conflux rollback acme/shop/prod/one.toml --break-glass "it burns" >/dev/null 2>&1
is "$(conflux fetch acme/shop/prod/one.toml)" "value = 103" "at once"
is "$(phase "$PG")" Superseded phase
has "$(conflux proposals --review)" deb
policy 0s
push 2
P2=$(source_says .status.proposal)
approve "$P2"
until_ok is_phase "$P2" Executed
live 2

step "a newer commit takes the place of the one that waits"
push 3
P3=$(source_says .status.proposal)
push 4
P4=$(source_says .status.proposal)
is "$(phase "$P3")" Superseded phase
is "$(phase "$P4")" Pending phase
live 2
if approve "$P3" 2>/dev/null; then fail "what was superseded was approved"; fi
approve "$P4"
until_ok is_phase "$P4" Executed
live 4

step "what was rejected is not proposed again; a new commit is"
push 5
P5=$(source_says .status.proposal)
# Counted before: the source hears of the end by itself, and may be quicker.
N=$(proposals)
CONFLUX_TOKEN=$ANN conflux reject "acme/$P5" -m "not on a Friday" >/dev/null
is "$(phase "$P5")" Rejected phase
reconcile
is "$(field .code)" rejected "what a reconcile says"
is "$(proposals)" "$N" proposals
[ "$(ready_reason)" != WaitingForApproval ] || fail "it waits for what was rejected"
live 4
push 6
P6=$(source_says .status.proposal)
[ "$P6" != "$P5" ] || fail "the new commit is the old proposal"
approve "$P6"
until_ok is_phase "$P6" Executed
live 6

step "what starts later starts later, though the node is killed meanwhile"
policy 5s
push 7
P7=$(source_says .status.proposal)
approve "$P7"
# Its time may have come already, where the machine is slow: see the end.
case $(phase "$P7") in Approved | Executed) ;; *) fail "phase $(phase "$P7")" ;; esac
LISTEN=${URL#http://}
stop_daemon KILL
start_daemon
until_ok is_phase "$P7" Executed
live 7
ask GET "$KUBE/namespaces/acme/releaseproposals/$P7"
[[ ! $(field .status.endedAt) < $(field .spec.notBefore) ]] || fail "executed before its time"

step "what is turned back is offered to Git, and not brought again"
policy 0s
conflux apply -f - >/dev/null <<'END'
apiVersion: gitops.conflux.io/v1alpha1
kind: ReleasePolicy
metadata: {name: steps, namespace: acme}
spec: {strategy: canary, steps: [{labels: {zone: a}, pause: manual}]}
END
BEFORE=$(git rev-parse HEAD)
push 8
P8=$(source_says .status.proposal)
approve "$P8"
until_ok is_phase "$P8" Executed
live 7
is "$(conflux fetch acme/shop/prod/one.toml -l zone=a)" "value = 8" "the canary's"
R=$(proposal "$P8" '[.. | objects | .release // empty][0]')
is "$(conflux reconcile acme/shop)" "acme/shop: main@sha1:$(git rev-parse HEAD | cut -c 1-12) goes \
out by release acme/$R, which is at step 1 of 1: conflux release show acme/$R" "what goes out is not called live"
is "$(ready_reason)" Applied "reason"
has "$(conflux get sources -n acme -o wide)" "release $R is at step 1 of 1; applied main@sha1:"
has "$(conflux get sources shop -n acme -o wide)" "release $R is at step 1 of 1; applied main@sha1:"
step_begun() { conflux release show "acme/$R" | grep -q "  release-step-begun system$"; }
until_ok step_begun
conflux release rollback "acme/$R" -m "it does not start" 2>"$WORK/held" >/dev/null
# Without what depends on when: times.
timeless() { sed -E 's/20[0-9]{2}-[0-9-]+T[0-9:.]+Z/TIME/'; }
is "$(conflux release show "acme/$R" | timeless)" "release:    acme/$R
phase:      RolledBack
step:       1 of 1
instances:  0
message:    it does not start
strategy:   canary
policy:     steps
author:     source:acme/shop
reason:     value 8
commit:     $(git rev-parse HEAD)
configs:
  shop.prod.one.toml version 11
  shop.prod.two.toml version 11
history:
  TIME  start      source:acme/shop
  TIME  release-step-begun system
  TIME  release-rollback token:root: it does not start" "what the release says of itself"
is "$(grep -c "^a hold stays: Git does not bring version [0-9]* of acme/shop/prod/" "$WORK/held")" 2 "what is held"
hasnt "$(conflux get sources -n acme -o wide)" "is at step"
is "$(conflux fetch acme/shop/prod/one.toml -l zone=a)" "value = 7" "the canary's"
offered() { git ls-remote --exit-code origin "refs/heads/conflux/revert-$R"; }
reconcile
until_ok offered
git fetch -q origin "conflux/revert-$R"
is "$(git rev-parse 'FETCH_HEAD^{tree}')" "$(git rev-parse "$BEFORE^{tree}")" "the tree that it leads back to"
is "$(git rev-parse FETCH_HEAD^)" "$(git rev-parse HEAD)" "what it is on top of"
reconcile
live 7
is "$(conflux fetch acme/shop/prod/one.toml -l zone=a)" "value = 7" "the canary's"
named() { [ "$(source_says .status.revert.release)" = "$R" ]; }
until_ok named
turned_back() { [ "$(ready_reason)" = TurnedBack ]; }
until_ok turned_back
has "$(conflux get sources -n acme -o wide)" "turned back by release $R, held until a commit changes it: it does not start"
hasnt "$(conflux get sources -n acme)" True
has "$(conflux reconcile acme/shop 2>"$WORK/held")" "turned back: conflux release show acme/$R"
is "$(cat "$WORK/held")" "2 contents of acme are held, and not brought by Git: conflux holds -n acme" "what is held"
holds() { # [flags]: spaces made one, times left out
	conflux holds "$@" | timeless | sed -E 's/ +/ /g'
}
# COMMIT: what both files' rows are
hold_rows() { printf 'CONFIGURATION VERSION RELEASE COMMIT BY SINCE REASON\n'
	printf "acme/shop/prod/%s.toml 11 $R $1 token:root TIME it does not start\n" one two; }
LAST=$(git rev-parse HEAD)
is "$(holds -n acme)" "$(hold_rows "${LAST:0:12}")" "what is held"
is "$(holds -n acme -o wide)" "$(hold_rows "$LAST")" "with the whole commit"
is "$(conflux holds -n acme -o name | tr '\n' ' ')" "acme/shop/prod/one.toml acme/shop/prod/two.toml " "by name"
# The time is that of the roll-back, and the content that of the version.
is "$(conflux holds -n acme -o json | jq -r '[.holds[].hold | .sha256] | unique | join(" ")')" \
	"$(echo "value = 8" | sha256sum | cut -d ' ' -f 1)" "the content that is held"
is "$(conflux holds -n acme -o json | jq -r '[.holds[].hold.since] | unique | join(" ")')" \
	"$(conflux release show "acme/$R" -o json | jq -r '.object.status.history[-1].at | .[:19] + "Z"')" "since when"
make_tenant bank
is "$(holds -n bank)" "CONFIGURATION VERSION RELEASE COMMIT BY SINCE REASON" "of another tenant"

patch_source() {
	ask PATCH "$SRC" -H 'Content-Type: application/merge-patch+json' -d "{\"spec\": $1}"
	yes 200
}
# What waits is approved, goes to the canary, and its release is R.
approved() {
	P=$(source_says .status.proposal)
	approve "$P"
	until_ok is_phase "$P" Executed
	R=$(proposal "$P" '[.. | objects | .release // empty][0]')
	is "$(conflux fetch acme/shop/prod/one.toml -l zone=a)" "value = $1" "the canary's"
}
turn_back() { conflux release rollback "acme/$R" -m "no" >/dev/null; }
complaints() { grep -c "the way back could not be offered" "$WORK/daemon.log" || true; }
complained() { [ "$(complaints)" -gt "$1" ]; }

step "a server that takes no branches holds up no commit"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=DNS:localhost -keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
mkfifo "$WORK/serves"
python3 "$HERE/../unit/source/https.py" "$WORK" "$WORK/cert.pem" "$WORK/key.pem" "" 503 \
	>"$WORK/port" 2>/dev/null <"$WORK/serves" &
exec 5>"$WORK/serves"
until_ok test -s "$WORK/port"
GIT=localhost:$(cat "$WORK/port")
stop_daemon
start_daemon --sources-private-hosts true --sources-ca-file "$WORK/cert.pem"
patch_source '{"url": "https://'"$GIT"'/origin.git"}'
push 9
yes 202
approved 9
BEFORE=$(complaints)
turn_back
until_ok complained "$BEFORE"
[ "$(source_says .status.revert.release)" != "$R" ] || fail "it is given up"
push 10
yes 202
approved 10
live 7

step "it is offered where there is room again, and behind what else is new"
OLD=$R
patch_source '{"suspend": true}'
turn_back
echo "value = 1" >shop/prod/three.toml
git add -A && git commit -q -m three && git push -q origin HEAD:main
exec 5>&-
patch_source '{"suspend": false, "url": "file://'"$WORK"'/origin.git", "revert": {"branch": "back/{release}"}}'
reconcile
yes 202
is "$(source_says .status.revert.release)" "$OLD" "offered"
is "$(source_says .status.revert.branch)" "back/$OLD" "branch"
git ls-remote --exit-code origin "refs/heads/back/$OLD" >/dev/null || fail "no branch"
P=$(source_says .status.proposal)
approve "$P"
until_ok is_phase "$P" Executed
is "$(conflux fetch acme/shop/prod/three.toml)" "value = 1" "what nobody had before"

step "who deletes a source that prunes deletes what it owns, and waits for the same people"
ask PATCH "$SRC" -H 'Content-Type: application/merge-patch+json' -d '{"spec": {"prune": true}}'
yes 200
# Its status is written once more, and what is proposed before that is proposed in vain.
reconcile
delete_source() {
	OUT=$(conflux delete source shop -n acme)
	PD=$(grep -o 'p-[0-9]*' <<<"$OUT")
	has "$OUT" "waits for approval"
}
delete_source
is "$(proposal "$PD" '[.. | objects | .configs? // empty | .[]? | .operations[]?] | join(" ")')" "delete delete delete" "what would go"
live 7
approve "$PD"
until_ok is_phase "$PD" Executed
gone() { ! conflux fetch acme/shop/prod/one.toml && ! conflux fetch acme/shop/prod/two.toml; }
until_ok gone 2>/dev/null
conflux audit verify >/dev/null
