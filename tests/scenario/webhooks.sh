#!/usr/bin/env bash
# Webhooks: events that are signed and come at least once and in order, past others that
# fail, are slow or gone; what is never sent inside; callbacks that are right, wrong, late
# and replayed.
. "$(dirname "$0")/lib.bash"
HERE=$(dirname "$0")/webhooks
DOC=$HERE/../../../docs/webhooks.md

# What the manual says is what runs here.
code() { sed -n "/<!-- $1 -->/,/^\`\`\`\$/p" "$DOC" | sed '1,2d;$d'; }
code verify.py >"$WORK/verify.py"
code sign.sh >"$WORK/sign.sh"
# shellcheck disable=SC1091
. "$WORK/sign.sh"

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=IP:127.0.0.1,DNS:localhost \
	-keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
PYTHONPATH=$WORK python3 "$HERE/receiver.py" "$WORK" 2>"$WORK/receiver.log" &
until_ok test -s "$WORK/ports"
read -r TLS PLAIN <"$WORK/ports"
# With more loops each may let one more test in: they look whether there is room before they ask.
start_daemon --webhooks-private-hosts true --webhooks-ca-file "$WORK/cert.pem" \
	--webhooks-retry-most 1s --server-loops 1
make_tenant acme

# hook NAME PATH [MEMBERS]: over TLS; KEY is its key.  What is answered has time: what is
# late comes again, and is counted twice.
hook() {
	ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "'"$1"'",
		"url": "https://127.0.0.1:'"$TLS$2"'", "timeout": "'"${TIMEOUT:-60s}"'"'"${3:+, $3}"'}'
	yes 201
	KEY=$(field .key)
	printf %s "$KEY" >"$WORK/$1.key"
}
# Events that came to a path, one a line: verdict, id, event, name.
came() { cat "$WORK/came.${1#/}" 2>/dev/null || true; }
count() { came "$1" | wc -l; }
n_came() { [ "$(count "$1")" -ge "$2" ]; }
show() { ask GET "$URL/api/v1/_config/webhooks/acme/$1"; yes 200; }
shows() { show "$1" && [ "$(field "$2")" = "$3" ]; }
# A source that begins to fail, which is an event.
broken_source() {
	ask POST "$KUBE/namespaces/acme/confluxsources" -d '{"apiVersion":
		"gitops.conflux.io/v1alpha1", "kind": "ConfluxSource", "metadata": {"name": "'"$1"'"},
		"spec": {"url": "file://'"$WORK"'/no-such-repository", "interval": "1h"}}'
	yes 201
}

step "a webhook is made, and its key is shown once"
hook good /good
is "${#KEY}" 64 "hex digits of the key"
show good
is "$(field .key)" null "shown again"
is "$(field .has_key)" true has_key
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "x", "url": "ftp://a"}'
yes 422
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "x", "url": "http://a", "evnts": []}'
yes 422
has "$BODY" evnts
hook fails /fails
TIMEOUT=1s hook slow /slow
hook redirects /redirects
hook gone /gone
hook picky /picky '"events": ["STEP"]'

step "an event comes over TLS, with a signature that the manual's code finds right"
broken_source one
until_ok n_came /good 1
has "$(came /good)" "right"
has "$(came /good)" "SOURCE_FAILED one"

step "others that fail, redirect, are slow or gone hold up nobody"
broken_source two
broken_source three
until_ok n_came /good 3
is "$(came /good | cut -d' ' -f4 | tr '\n' ' ')" "one two three " "in order"
until_ok n_came /fails 3
until_ok n_came /redirects 2
until_ok shows gone .dead 3
is "$(came /fails | cut -d' ' -f4 | sort -u)" one "the first event, again and again"
is "$(came /fails | cut -d' ' -f2 | sort -u | wc -l)" 1 "under one id"
is "$(count /secret)" 0 "followed"
is "$(count /picky)" 0 "not wanted"
is "$(count /gone)" 3 "tried once each"
until_ok shows fails .reason DeliveryFailed
show slow
is "$(field .waiting)" 3 waiting
until_ok shows good .waiting 0
ask GET "$KUBE/namespaces/acme/webhooks/fails"
has "$(field .status.conditions[0].message)" "HTTP 500"

step "what failed is delivered when it works again, in order"
touch "$WORK/fails.is-well"
until_ok shows fails .waiting 0
is "$(came /fails | cut -d' ' -f4 | uniq | tr '\n' ' ')" "one two three " "in order"
until_ok shows fails .ready true

step "the dead are listed, tried again and dropped"
OUT=$(conflux webhook dead acme/gone)
has "$OUT" "HTTP 410"
SEQ=$(conflux webhook dead acme/gone -o name | head -n 1)
conflux webhook drop acme/gone "$SEQ"
! conflux webhook drop acme/gone "$SEQ" 2>"$WORK/err" || fail "it was dropped twice"
has "$(cat "$WORK/err")" "conflux webhook dead acme/gone"
touch "$WORK/gone.is-well"
conflux webhook retry acme/gone all
until_ok shows gone .waiting 0
is "$(field .dead)" 0 dead
is "$(came /gone | tail -n 2 | cut -d' ' -f4 | tr '\n' ' ')" "two three " "tried again"
OUT=$(conflux webhook list -n acme)
has "$OUT" redirects
conflux webhook test acme/good >"$WORK/test"
has "$(cat "$WORK/test")" "200"
until_ok grep -q TEST "$WORK/came.good"
! conflux webhook test acme/redirects >"$WORK/test" 2>&1 || fail "a redirect was taken"
has "$(cat "$WORK/test")" 302

step "who tests without end takes the turns of his tenant, and no others"
make_tenant busy
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "busy", "name": "stuck",
	"url": "https://127.0.0.1:'"$TLS"'/stuck", "timeout": "30s", "events": ["STEP"]}'
yes 201
make_tenant other
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "other", "name": "good",
	"url": "https://127.0.0.1:'"$TLS"'/other"}'
yes 201
for _ in $(seq 100); do
	printf 'url = %s\noutput = /dev/null\n' "$URL/api/v1/_config/webhooks/busy/stuck/test"
done >"$WORK/tests"
curl -s --no-progress-meter --parallel --parallel-immediate --parallel-max 100 -X POST \
	-H "Authorization: Bearer $TOKEN" -w '%{stderr}%{http_code}\n' -K "$WORK/tests" 2>"$WORK/tested" &
TESTS=$!
until_ok n_came /stuck 32
ask POST "$URL/api/v1/_config/webhooks/other/good/test"
yes 200
is "$(field .ok)" true "of another tenant"
all_asked() { [ "$(grep -c 503 "$WORK/tested")" -ge 36 ]; }
until_ok all_asked
touch "$WORK/stuck.is-well"
wait "$TESTS"
TESTED=$(sort "$WORK/tested" | uniq -c | tr -s ' \n' ' ')
is "$TESTED" " 64 200 36 503 " "of a hundred at once: under way or waiting, and refused"

step "a new key counts at once, and the one before for an hour"
cp "$WORK/good.key" "$WORK/old.key"
conflux webhook key acme/good >"$WORK/good.key"
broken_source four
until_ok n_came /good 5
# The receiver knows the old key still.
has "$(came /good | tail -n 1)" "right"
conflux webhook key acme/good --revoke >"$WORK/good.key"
broken_source five
until_ok n_came /good 6
has "$(came /good | tail -n 1)" "wrong"

step "one that is made with kubectl's routes has no key, and its events wait"
ask POST "$KUBE/namespaces/acme/webhooks" -d '{"apiVersion": "gitops.conflux.io/v1alpha1",
	"kind": "Webhook", "metadata": {"name": "kube"}, "spec": {"url": "http://127.0.0.1:'"$PLAIN"'/kube"}}'
yes 201
broken_source six
until_ok shows kube .reason NoKey
is "$(count /kube)" 0 "sent without a key"
conflux webhook key acme/kube >"$WORK/kube.key"
until_ok n_came /kube 1
# It may have come before the file with the key was written.
broken_source seven
until_ok n_came /kube 2
has "$(came /kube | tail -n 1)" "right"

step "no key is in the audit log"
ask GET "$URL/api/v1/audit?limit=1000"
has "$BODY" webhook-key
for f in "$WORK"/*.key; do hasnt "$BODY" "$(cat "$f")"; done

# callback NAME ID TIMESTAMP BODY [KEYFILE [curl arguments]]
callback() {
	printf %s "$4" >"$WORK/callback"
	ask POST "$URL/api/v1/callbacks/acme/$1" "${@:6}" --data-binary @"$WORK/callback" \
		-H "Authorization:" -H "X-Conflux-Id: $2" -H "X-Conflux-Timestamp: $3" \
		-H "X-Conflux-Signature-256: $(sign "${5:-$WORK/$1.key}" "$2" "$3" "$WORK/callback")"
}
NOW=$(date +%s)
VOTE='{"proposal": "p-1", "digest": "'$(printf '0%.0s' $(seq 64))'", "decision": "approve"}'

step "a callback that is not right is refused, and all of these alike"
hook voter /voter '"mayApprove": true'
for bad in "voter a $NOW $WORK/old.key" "nobody a $NOW $WORK/old.key"; do
	# shellcheck disable=SC2086
	set -- $bad
	callback "$1" "$2" "$3" "$VOTE" "$4"
	yes 401
	has "$BODY" "the signature is not right"
done
callback voter a $((NOW - 301)) "$VOTE"
yes 401
has "$BODY" "from this server's clock"
callback voter a $((NOW + 400)) "$VOTE"
yes 401
callback good a "$NOW" "$VOTE"
yes 403
has "$BODY" mayApprove
# What was sent to it is no vote.
callback voter a "$NOW" '{"specversion": "1.0", "id": "a", "data": {}}'
yes 422
for bad in '{"proposal": "p-1", "digest": "00", "decision": "approve"}' \
	"${VOTE/approve/maybe}" '[]' "${VOTE/\}/, \"more\": 1\}}"; do
	callback voter a "$NOW" "$bad"
	yes 422
done
ask POST "$URL/api/v1/callbacks/acme/voter" -H "Authorization:" -d "$VOTE"
yes 401

step "a right one votes, on what there is"
callback voter b "$NOW" "$VOTE"
yes 404
has "$BODY" "p-1"

step "a webhook that a policy names is told of a proposal, and lets it through"
make_config app.txt "one"
ID=$(field .id)
ask POST "$KUBE/namespaces/acme/approvalpolicies" -d '{"apiVersion": "gitops.conflux.io/v1alpha1",
	"kind": "ApprovalPolicy", "metadata": {"name": "ci"}, "spec":
	{"stages": [{"name": "ci", "from": {"subjects": ["webhook:acme/voter"]}}]}}'
yes 201
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "two"}'
is "$(conflux fetch acme/shop/prod/app.txt)" "one" "not approved"
until_ok grep -q PROPOSAL_CREATED "$WORK/came.voter"
P=$(came /voter | sed -n 's/.*PROPOSAL_CREATED //p')
ask GET "$KUBE/namespaces/acme/releaseproposals/$P"
DIGEST=$(field .spec.digest)
VOTE='{"proposal": "'$P'", "digest": "'$DIGEST'", "decision": "approve", "reason": "tests passed"}'
callback voter c "$NOW" "${VOTE/$DIGEST/$(printf '0%.0s' $(seq 64))}"
yes 409
# What is not signed is not heard.
callback voter c "$NOW" "$VOTE" "" -H "X-Conflux-Not-Before: no time" \
	-H "X-Conflux-Break-Glass: it burns" -H "X-Conflux-Reason: none"
yes 200
is "$(field .replayed)" false replayed
callback voter c "$NOW" "$VOTE"
yes 200
is "$(field .replayed)" true "a second time"
callback voter c "$NOW" "${VOTE/approve/reject}"
yes 422
has "$BODY" idempotency
ask GET "$URL/api/v1/audit?limit=1000"
is "$(field '[.records[] | select(.action == "approve" and .subject == "webhook:acme/voter")] | length')" 1 "votes"
hasnt "$BODY" "it burns"
until_ok grep -q APPROVED "$WORK/came.voter"

stop_daemon

step "without the setting nothing goes inside, however it is written"
DATA=$WORK/data2
start_daemon --webhooks-retry-most 1s
make_tenant acme
N=0
BEFORE=$(cat "$WORK"/came.* | wc -l)
for host in 127.0.0.1 127.1 2130706433 0x7f000001 '[::1]' '[::ffff:127.0.0.1]' 0.0.0.0 localhost; do
	N=$((N + 1))
	ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "in'$N'",
		"url": "http://'"$host:$PLAIN"'/inside"}'
	yes 201
	ask POST "$URL/api/v1/_config/webhooks/acme/in$N/test"
	yes 200
	is "$(field .code)" egress-refused "$host"
done
broken_source one
until_ok shows in1 .reason DeliveryFailed
has "$(field .message)" "private network"
is "$(cat "$WORK"/came.* | wc -l)" "$BEFORE" "requests that came"
is "$(count /inside)" 0 inside
