#!/usr/bin/env bash
# What instances say of their configurations, and what a node knows of them.
. "$(dirname "$0")/lib.bash"
start_daemon --fleet-acks-max 3
make_tenant acme
make_config main hello
yes 201
SHA=$(printf hello | sha256sum | cut -c1-64)
KEY=acme/shop/prod/main
conflux token create reader --read-only >"$WORK/reader" 2>/dev/null

ack() { # instance, state, more members
	ask POST "$URL/api/v1/acks" -d "{\"instance\": \"$1\", \"key\": \"$KEY\",
		\"version\": 1, \"sha256\": \"$SHA\", \"state\": \"$2\"${3:+, $3}}"
}
known() { ask GET "$URL/api/v1/instances?key=$KEY&instance=$1"; yes 200; }

step "an acknowledgement is kept; whoever may fetch may acknowledge"
ROOT=$TOKEN TOKEN=$(cat "$WORK/reader")
ack web-1 received
yes 200
is "$(field .taken)" 1 taken
ack web-1 rejected '"reason": "port is no number", "release": "r-7"'
TOKEN=$ROOT
known web-1
is "$(field '.instances | length')" 1 "one, the last word"
is "$(field '.instances[0] | .state + " " + .reason + " " + .release')" \
	"rejected port is no number r-7" instance
is "$(field '.instances[0].version')" 1 version
is "$(field '.instances[0].sha256')" "$SHA" digest
is "$(field '.instances[0].connected')" false connected

step "who is nobody, or says nonsense, is refused, and nothing is kept"
ROOT=$TOKEN TOKEN=wrong
ack web-2 applied
yes 401
TOKEN=$ROOT
ack 'web 2' applied
yes 422
has "$(field .detail)" '"instance"'
KEY=acme/shop/prod/absent ack web-2 applied
yes 404
known web-2
is "$(field '.instances | length')" 0 instances

step "of a list those of configurations that are gone are left out"
ask POST "$URL/api/v1/acks" -d "[
	{\"instance\": \"web-2\", \"key\": \"acme/shop/prod/absent\", \"version\": 1,
	 \"sha256\": \"$SHA\", \"state\": \"applied\"},
	{\"instance\": \"web-2\", \"key\": \"$KEY\", \"version\": 1,
	 \"sha256\": \"$SHA\", \"state\": \"applied\"}]"
yes 200
is "$(field '[.taken, .unknown] | join(" ")')" "1 1" "taken and unknown"

step "a watch that says who it is makes an instance connected, until it ends"
curl -sN -H "Authorization: Bearer $TOKEN" -H "X-Conflux-Instance: web-2" \
	"$URL/api/v1/watch?key=$KEY" >"$WORK/watch" &
W=$!
until_ok grep -q watching "$WORK/watch"
known web-2
is "$(field '.instances[0].connected')" true connected
has "$(conflux instances $KEY)" "web-2"
ask GET "$URL/api/v1/fleet"
yes 200
is "$(field '.instances[] | [.instance, .state, .version, .key, .node, .connected, .reason] |
	join(" ")')" "web-1 rejected 1 $KEY 1 false port is no number
web-2 applied 1 $KEY 1 true " "in the fleet"
is "$(field .missing_nodes)" 0 missing

step "the fleet says what each instance has, and how far it is behind"
in_fleet() { # jq expression of web-2
	conflux fleet -o json | jq -r ".instances[] | select(.instance == \"web-2\") | $1"
}
row() { conflux fleet | awk '$1 == "web-2" { print $2, $3, $4, $5, $6 }'; }
is "$(row | cut -d' ' -f1-4)" "applied 1 - $KEY" "what it said last; nothing was sent to it yet"
printf howdy | conflux publish "$KEY" -f - -m howdy >/dev/null
until_ok grep -q '"version":2' "$WORK/watch"
behind() { [ "$(in_fleet '.sent_version')" = 2 ] && [ "$(in_fleet '.lag_ms')" -ge 20 ]; }
until_ok behind
is "$(in_fleet '[.state, .version] | join(" ")')" "applied 1" "what it said last"
SHA=$(printf howdy | sha256sum | cut -c1-64)
ask POST "$URL/api/v1/acks" -d "{\"instance\": \"web-2\", \"key\": \"$KEY\",
	\"version\": 2, \"sha256\": \"$SHA\", \"state\": \"applied\"}"
yes 200
is "$(in_fleet '[.state, .version] | join(" ")')" "applied 2" "what it says now"
took=$(in_fleet .lag_ms)
older() { [ "$(in_fleet .age_ms)" -gt $((took + 20)) ]; }
until_ok older
is "$(in_fleet .lag_ms)" "$took" "how long it took"
is "$(row | cut -d' ' -f1-5)" "applied 2 $took ms $KEY" "as a row"
is "$(in_fleet '.configurations | length')" 1 "configurations"
ask GET "$URL/api/v1/fleet?after=web-2"
is "$(field '.instances | length')" 0 "behind it"
ask GET "$URL/api/v1/fleet?release=tomorrow"
yes 400
ask GET "$URL/api/v1/fleet?release=r-000000000017"
yes 404
RELEASE=$(conflux get releases -n "${KEY%%/*}" -o name | head -n 1)
ask GET "$URL/api/v1/fleet?release=${RELEASE##*/}"
is "$(field '[.release, (.instances | length)] | join(" ")')" "${RELEASE##*/} 0" \
	"of a release that does not run"
kill "$W"
wait "$W" 2>/dev/null || true
left() { known web-2; [ "$(field '.instances[0].connected')" = false ]; }
until_ok left
ask GET "$URL/api/v1/fleet"
is "$(field '[.instances[] | select(.connected)] | length')" 0 "connected instances"
is "$(in_fleet '[.state, .version] | join(" ")')" "applied 2" "what it said before it left"

step "beyond the bound those unheard for the longest go"
for i in 3 4; do
	ack web-$i applied
	yes 200
done
known web-1
is "$(field '.instances | length')" 0 "the oldest"
ask GET "$URL/api/v1/instances?limit=2"
is "$(field '[.instances[].instance] | join(" ")')" "web-2 web-3" order
ask GET "$URL/api/v1/instances?after=$(field .next)"
is "$(field '[.instances[].instance] | join(" ")')" "web-4" "the next page"
ask GET "$URL/metrics"
has "$BODY" "conflux_acks_evicted_total 1"

step "who asks for all there is, over gRPC, is sent what a release gives it, and may be lost"
ask POST "$KUBE/namespaces/acme/releasepolicies" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "ReleasePolicy", "metadata": {"name": "steps"},
	"spec": {"strategy": "canary", "steps": [{"nodes": ["web-9"], "pause": "manual"}],
	"bake": "300ms", "conditions": {"rejected": {"atMost": 0}}}}'
yes 201
printf killer | conflux publish "$KEY" -f - -m killer >/dev/null
release() { conflux get releases -n acme -o json | jq -r '[.items[] |
	select(.spec.strategy == "canary")] | last | '"$1"; }
until_ok eval '[ "$(release .metadata.name)" != null ]'
R=$(release .metadata.name)
mkfifo "$WORK/stop"
URL=$URL TOKEN=$TOKEN /usr/bin/python3 "$(dirname "$0")/watch/calls.py" there \
	<"$WORK/stop" >"$WORK/there" &
CALL=$!
exec 7>"$WORK/stop"
until_ok grep -q . "$WORK/there"
is "$(cat "$WORK/there")" "$R" "the release that it is told"
state_is() { [ "$(conflux fleet "$R" -o json | jq -r '.instances[] |
	select(.instance == "web-9") | .state')" = "$1" ]; }
until_ok state_is sent
# The configuration ends the process, which says nothing more.
exec 7>&-
wait "$CALL" || fail "the call"
until_ok state_is lost
stop_daemon
