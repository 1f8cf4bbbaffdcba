#!/usr/bin/env bash
# Watches: server sent events, long poll and WebSocket tell the same, to whom it
# concerns, in order; and end as they should.
. "$(dirname "$0")/lib.bash"
with_tsan
HERE=$(dirname "$0")/watch
export PYTHONUTF8=1
start_daemon --server-heartbeat 300ms --server-allowed-origins \
	"http://x.example, http://good.example" --storage-events-count 60
export URL TOKEN
# Events say what was there before from then on.
grown() { [ "$(curl -sf -H "Authorization: Bearer $TOKEN" "$URL/_cluster/status" |
	jq .cluster_version)" -ge 3 ]; }
until_ok grown
make_tenant acme
KEY=acme/shop/prod/app
make_config app one
yes 201
ID=$(field .id)
make_config still one
yes 201
STILL_ID=$(field .id) STILL_REV=$(field .revision)

publish() {
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d "{\"content\": \"$1\"}"
	yes 200
}
rules() {
	ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d "$1"
	yes 200
}
rev_now() { ask GET "$URL/api/v1/status"; field .revision; }

# stream NAME QUERY: follows in the background into $WORK/NAME; returns when it
# is under way.
declare -A STREAM
stream() {
	local name=$1
	curl -sN -H "Authorization: Bearer ${WATCH_TOKEN:-$TOKEN}" \
		"$URL/api/v1/watch?$2" >"$WORK/$name" &
	STREAM[$name]=$!
	until_ok grep -q '^: watching' "$WORK/$name"
}
changes() { sed -n '/^event: change/{n;s/^data: //p}' "$WORK/$1"; }
# NAME N: until it was told N changes
told() { until_ok eval "[ \$(changes $1 | wc -l) -ge $2 ]"; }
versions() { changes "$1" | jq -r .version | tr '\n' ' '; }

step "a client is told when its own version changes, and not when another's does"
publish two
stream all "prefix=acme/"
stream eu "key=$KEY&label.zone=eu"
stream us "key=$KEY&label.zone=us"
rules '{"releases": [{"labels": {"zone": "eu"}, "priority": 1, "version_id": 1},
	{"labels": {}, "version_id": 2}]}'
publish three
rules '{"releases": [{"labels": {"zone": "us"}, "priority": 1, "version_id": 1},
	{"labels": {}, "version_id": 3}]}'
publish four
told all 2
told eu 3
told us 2
is "$(versions all)" "3 4 " "all"
is "$(versions eu)" "1 3 4 " "eu"
is "$(versions us)" "3 1 " "us"
has "$(changes eu)" '"format":"text"'

step "who is told nothing gets bookmarks, and goes on from there"
BEFORE=$(rev_now)
make_config other one
yes 201
mark() { grep -B1 '^event: bookmark' "$WORK/us" | sed -n 's/^id: //p' | tail -n 1; }
until_ok eval '[ "$(mark)" -gt "$BEFORE" ]'
MARK=$(mark)
is "$MARK" "$(rev_now)" "the newest"
until_ok grep -q '^: alive' "$WORK/us"
stream again "key=$KEY&since=$MARK"
publish five
told again 1
is "$(versions again)" "5 " "again"

step "a long poll is answered by a command, or at the end of its time"
poll() { ask GET "$URL/api/v1/watch?key=$KEY&since=$1&wait=$2"; yes 200; }
poll "$MARK" 30s
is "$(field '.events | map(.version) | tostring')" "[5]" "events"
REV=$(field .revision)
poll "$REV" 200ms
is "$(field '.events | length')" 0 "events"
[ "$(field .revision)" -ge "$REV" ] || fail "it went back"
make_config third one
AFTER=$(rev_now)
poll "$REV" 200ms
is "$(field .revision)" "$AFTER" "what happened to others moves it on"
curl -s -H "Authorization: Bearer $TOKEN" \
	"$URL/api/v1/watch?key=$KEY&since=$AFTER&wait=30s" >"$WORK/poll" &
POLL=$!
publish six
wait "$POLL"
is "$(jq -c '.events | map([.version, .end])' "$WORK/poll")" "[[6,true]]" "events"
for wait in 0 99ms 61s 1h x -1s 18446744073709551615ms; do
	ask GET "$URL/api/v1/watch?key=$KEY&wait=$wait"
	yes 400
	has "$BODY" "wait=$wait"
done

step "each encoding, each revision: the same"
told all 6
ALL=$(versions all)
FROM=$BEFORE
while [ "$FROM" -lt "$AFTER" ]; do
	ask GET "$URL/api/v1/watch?prefix=acme/&since=$FROM&wait=100ms"
	is "$(field '[.events[].revision] | . == sort and . == unique and
		all(. > '"$FROM"')')" true "since $FROM: $BODY"
	FROM=$((FROM + 1))
done
is "$ALL" "3 4 1 5 1 6 " "all"

step "WebSocket: two libraries, bare frames, and streams of HTTP/2"
export TOKEN2
for story in sync tokens frames other http2; do
	/usr/bin/python3 "$HERE/sockets.py" $story || fail "$story"
done

step "what is compacted is refused in each encoding"
for i in $(seq 45); do publish "more $i"; done
compacted() {
	ask GET "$URL/api/v1/watch?prefix=&since=1&wait=100ms"
	[ "$STATUS" = 410 ]
}
until_ok compacted
has "$BODY" '"code":"compacted"'
ask GET "$URL/api/v1/watch?prefix=&since=1"
yes 410
# It says how to begin anew.
has "$BODY" 'watch from now on'

step "what stands still for longer than events are kept is followed all the same"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/still"
yes 200
STILL=$(header x-conflux-revision)
export STILL
[ "$STILL" = "$STILL_REV" ] || fail "it changed: $STILL"
ask GET "$URL/api/v1/watch?prefix=acme/shop/prod/still&since=$STILL&wait=100ms"
yes 410
# A key that has changed since, or may have been there.
for key in app none; do
	ask GET "$URL/api/v1/watch?key=acme/shop/prod/still&key=acme/shop/prod/$key&since=$STILL&wait=100ms"
	yes 410
done
stream still "key=acme/shop/prod/still&since=$STILL"
curl -s -H "Authorization: Bearer $TOKEN" \
	"$URL/api/v1/watch?key=acme/shop/prod/still&since=$STILL&wait=30s" >"$WORK/poll" &
POLL=$!
/usr/bin/python3 "$HERE/sockets.py" still >"$WORK/still.socket" &
SOCKET=$!
/usr/bin/python3 "$HERE/calls.py" still >"$WORK/still.call" &
CALL=$!
until_ok grep -q ready "$WORK/still.socket"
until_ok grep -q ready "$WORK/still.call"
ask POST "$URL/api/v1/mgt/configs/$STILL_ID/publish" -d '{"content": "moves"}'
yes 200
told still 1
is "$(versions still)" "2 " "the stream"
wait "$POLL"
is "$(jq -c '[.events[].version]' "$WORK/poll")" "[2]" "the poll"
wait "$SOCKET" || fail "the WebSocket"
wait "$CALL" || fail "gRPC"

step "and so is what is begun anew as the manual says"
# A long poll names where it begins, then it is fetched at that.
ask GET "$URL/api/v1/watch?prefix=acme/&wait=100ms"
yes 200
REV=$(field .revision)
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/still?min_revision=$REV"
yes 200
is "$(header x-conflux-version)" 2 "version"
ask POST "$URL/api/v1/mgt/configs/$STILL_ID/publish" -d '{"content": "again"}'
yes 200
ask GET "$URL/api/v1/watch?prefix=acme/&since=$REV&wait=10s"
yes 200
is "$(field '.events | map(.version) | tostring')" "[3]" "events"

step "what a WebSocket is refused"
/usr/bin/python3 "$HERE/sockets.py" refusals || fail refusals
/usr/bin/python3 "$HERE/calls.py" compacted || fail "compacted, over gRPC"

step "a token that is revoked ends its watches at once, quiet ones too"
ask POST "$URL/api/v1/tokens" -d '{"name": "w", "read_only": true}'
yes 201
TOKEN2=$(field .token)
WATCH_TOKEN=$TOKEN2 stream denied "key=acme/shop/prod/nothing"
curl -s -o "$WORK/poll" -w '%{http_code}' -H "Authorization: Bearer $TOKEN2" \
	"$URL/api/v1/watch?key=acme/shop/prod/nothing&wait=60s" >"$WORK/code" &
POLL=$!
/usr/bin/python3 "$HERE/sockets.py" revoked >"$WORK/revoked" &
SOCKET=$!
/usr/bin/python3 "$HERE/calls.py" revoked >"$WORK/revoked.call" &
CALL=$!
until_ok grep -q ready "$WORK/revoked"
until_ok grep -q ready "$WORK/revoked.call"
stream stays "key=acme/shop/prod/nothing"
ask DELETE "$URL/api/v1/tokens/w"
yes 204
wait "${STREAM[denied]}" || fail "the stream was cut off"
has "$(cat "$WORK/denied")" 'event: error
data: {"reason":"denied","status":401,"code":"unauthorized"'
wait "$POLL"
is "$(cat "$WORK/code")" 401 "poll"
wait "$SOCKET" || fail "the WebSocket"
wait "$CALL" || fail "the call"

step "a node that stops tells all to go elsewhere"
# Clients know of their end before the node has counted it.
quiet() { ask GET "$URL/metrics" && grep -q '^conflux_watchers_behind 0$' <<<"$BODY" &&
	grep -q '^conflux_watchers 6$' <<<"$BODY"; }
until_ok quiet
curl -s -o "$WORK/poll" -w '%{http_code}' -H "Authorization: Bearer $TOKEN" \
	"$URL/api/v1/watch?key=$KEY&wait=60s" >"$WORK/code" &
POLL=$!
polls() { ask GET "$URL/metrics" && grep -q '^conflux_watchers 7$' <<<"$BODY"; }
until_ok polls
/usr/bin/python3 "$HERE/sockets.py" drained >"$WORK/drained" &
SOCKET=$!
until_ok grep -q ready "$WORK/drained"
kill -TERM "$DAEMON"
wait "${STREAM[stays]}" || fail "the stream was cut off"
hasnt "$(cat "$WORK/stays")" "event: error"
has "$(cat "$WORK/stays")" 'event: end
data: {"reason":"draining","status":503'
wait "$SOCKET" || fail "the WebSocket"
wait "$POLL"
is "$(cat "$WORK/code")" 200 "poll"
is "$(jq -c .events "$WORK/poll")" "[]" "poll"
wait "$DAEMON" || fail "it did not stop in order"
DAEMON=

step "and who waits there for a revision that has not come"
start_daemon
export URL TOKEN
/usr/bin/python3 "$HERE/early.py" "$DAEMON" || fail "early.py"
wait "$DAEMON" || fail "it did not stop in order"
DAEMON=
