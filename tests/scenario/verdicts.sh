#!/usr/bin/env bash
# Steps that outside systems judge: a query of Prometheus against a threshold, and a
# webhook that says ok, fail or wait; and inside addresses are not asked.
. "$(dirname "$0")/lib.bash"
HERE=$(dirname "$0")/verdicts
KEY=acme/shop/prod/main

python3 "$HERE/judges.py" "$WORK" 2>"$WORK/judges.log" &
until_ok test -s "$WORK/port"
PORT=$(cat "$WORK/port")
start_daemon --webhooks-private-hosts true
make_tenant acme
make_config main one
yes 201

policy() { # conditions, more of its step
	conflux apply -f - >"$WORK/out" <<-EOT
		apiVersion: gitops.conflux.io/v1alpha1
		kind: ReleasePolicy
		metadata: {name: judged, namespace: acme}
		spec:
		  strategy: canary
		  bake: 200ms
		  timeout: 60s
		  steps: [{percent: 50${2:+, $2}}]
		  conditions: $1
	EOT
}
newest() { conflux get releases -n acme -o json | jq -r '[.items[] | select(.spec.strategy == "canary")] | last'; }
is_in() { [ "$(newest | jq -r .status.phase)" = "$1" ]; }
publish() { printf '%s' "$1" | conflux publish "$KEY" -f - -m "$1" >"$WORK/out"; }
why() { newest | jq -r '.status.message + (.status.history | tostring)'; }
serves() { is "$(conflux fetch "$KEY")" "$1" content; }
asked() { wc -l <"$WORK/$1"; }

step "a step goes on when the number is right, and not before there is one"
policy "{prometheus: [{url: 'http://127.0.0.1:$PORT/prom', query: 'errors{r=\"\$release\"} * \$step', below: 0.01}]}"
publish two
until_ok eval '[ "$(asked queries)" -ge 2 ]'
is_in Progressing || fail "it went on while nobody knew"
is "$(head -n 1 "$WORK/queries")" "errors{r=\"$(newest | jq -r .metadata.name)\"} * 1" query
echo 0.0099999999999999999999 >"$WORK/value"
until_ok is_in Completed
serves two

step "a number that is not below turns it back"
echo 0.01 >"$WORK/value"
publish three
until_ok is_in RolledBack
has "$(why)" "0.01 is not below 0.01"
serves two

step "a webhook is asked with a signature, waits, and agrees"
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "judge",
	"url": "http://127.0.0.1:'"$PORT"'/judge", "events": ["DRIFT"]}'
yes 201
field .key >"$WORK/judge.key"
policy '{webhook: {name: judge}}'
echo '{"verdict": "wait", "reason": "the test runs yet"}' >"$WORK/verdict"
publish four
until_ok eval '[ "$(asked asked)" -ge 2 ]'
is_in Progressing || fail "it went on while the webhook waits"
R=acme/$(newest | jq -r .metadata.name)
has "$(conflux release show "$R")" "waits for:  the webhook has not said yes yet: the test runs yet; if not by 2"
is "$(cut -d' ' -f1 "$WORK/asked" | sort -u)" good signatures
Q=$(head -n 1 "$WORK/asked" | cut -d' ' -f2-)
is "$(jq -r '[.type, .tenant, .release, .step, .steps] | join(" ")' <<<"$Q")" \
	"release.verdict acme $(newest | jq -r .metadata.name) 1 1" question
patch_judge() {
	ask PATCH "$KUBE/namespaces/acme/webhooks/judge" -H 'Content-Type: application/merge-patch+json' \
		-d '{"spec": '"$1"'}'
	yes 200
}
patch_judge '{"suspend": true}'
says() { conflux release show "$R" | grep -q "$1"; }
until_ok says "the webhook has not said yes yet: the Webhook rests (spec.suspend)"
patch_judge '{"suspend": false, "timeout": "300ms"}'
touch "$WORK/slow"
until_ok says "the webhook has not said yes yet: .*Timeout"
rm "$WORK/slow"
echo '{"verdict": "ok"}' >"$WORK/verdict"
until_ok is_in Completed
serves four

step "one that has baked and waits for somebody is asked about rarely"
make_config side one
yes 201
policy '{webhook: {name: judge}}' 'pause: manual'
publish manual
R=acme/$(newest | jq -r .metadata.name)
until_ok says "waits for somebody to promote it"
policy '{webhook: {name: judge}}'
asked_about() { grep -c "\"release\":\"${1#acme/}\"" "$WORK/asked"; }
N=$(asked_about "$R")
echo '{"verdict": "wait"}' >"$WORK/verdict"
printf two | conflux publish acme/shop/prod/side -f - -m side >"$WORK/out"
S=$(newest | jq -r .metadata.name)
until_ok eval '[ "$(asked_about "$S")" -ge 4 ]'
is "$(asked_about "$R")" "$N" "questions about the one that waits"
echo '{"verdict": "ok"}' >"$WORK/verdict"
until_ok is_in Completed
conflux release promote "$R" >"$WORK/out"
R_is() { [ "$(conflux get releases "${R#acme/}" -n acme -o json | jq -r .status.phase)" = "$1" ]; }
until_ok R_is Completed
serves manual

step "a webhook that says no turns it back, with its reason"
echo '{"verdict": "fail", "reason": "basket is slow"}' >"$WORK/verdict"
publish five
until_ok is_in RolledBack
has "$(why)" "basket is slow"
serves manual
N=$(asked asked)

step "what is over is not asked about any more"
policy '{}'
publish six
until_ok is_in Completed
is "$(asked asked)" "$N" questions

step "an address inside is not asked"
stop_daemon
start_daemon
ready_again() { curl -sf "$URL/readyz"; }
until_ok ready_again
policy '{webhook: {name: judge}}'
echo '{"verdict": "ok"}' >"$WORK/verdict"
publish seven
looked_often() { ask GET "$URL/metrics" && grep -q 'conflux_fleet_looks_total [3-9]' <<<"$BODY"; }
until_ok looked_often
is_in Progressing || fail "it went on"
is "$(asked asked)" "$N" questions
