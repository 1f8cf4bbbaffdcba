#!/usr/bin/env bash
# HTTP/2 with clients that others have written: curl, nghttp, h2load.
. "$(dirname "$0")/lib.bash"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
	-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
	-keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
start_daemon
make_tenant acme
F=$URL/api/v1/fetch/config/acme/shop/prod
AUTH="Authorization: Bearer $TOKEN"
make_config app.json '{"port": 8080}' json
yes 201
ID=$(field .id)
head -c 2250000 /dev/urandom | base64 -w 0 >"$WORK/big"
jq -n --rawfile c "$WORK/big" '{tenant: "acme", application: "shop",
	environment: "prod", name: "big", format: "text", content: $c}' >"$WORK/req"

# h2 METHOD URL [curl arguments]: as ask, over HTTP/2.
h2() { ask "$@" --http2-prior-knowledge; }

step "a request over HTTP/2 is answered as one over HTTP/1.1"
h2 GET "$F/app.json"
yes 200
has "$HEADERS" "HTTP/2 200"
is "$BODY" '{"port": 8080}' content
is "$(header x-conflux-version)" 1 version
ETAG=$(header etag)
h2 GET "$F/app.json" -H "If-None-Match: $ETAG"
yes 304
is "$BODY" "" body
h2 HEAD "$F/app.json"
yes 200
is "$(header content-length)" 14 length
h2 GET "$F/none"
yes 404
has "$BODY" '"code":"not-found"'
is "$(curl -s -o /dev/null -w '%{http_code} %{http_version}' --http2-prior-knowledge \
	"$F/app.json")" "401 2" "without a token"

step "a body and an answer of megabytes arrive whole"
h2 POST "$URL/api/v1/mgt/configs" -d @"$WORK/req"
yes 201
curl -s --http2-prior-knowledge -H "$AUTH" "$F/big" >"$WORK/got"
cmp "$WORK/got" "$WORK/big" || fail "other bytes"
h2 POST "$URL/api/v1/mgt/configs" -d @"$WORK/req" -H 'Expect: 100-continue'
yes 409

step "a client that asks to be upgraded gets HTTP/1.1, and its answer"
is "$(curl -s -o "$WORK/body" -w '%{http_code} %{http_version}' --http2 -H "$AUTH" \
	"$F/app.json")" "200 1.1" upgrade

step "nghttp: many at once on one connection, with windows of 64 KiB and none"
nghttp -n -s -H "$AUTH" -m 20 -w 16 -W 16 "$F/big" >"$WORK/nghttp" 2>&1
is "$(grep -c ' 200 ' "$WORK/nghttp")" 20 answers
nghttp -n -v -H "$AUTH" "$F/app.json" 2>&1 | tee "$WORK/nghttp" >/dev/null
has "$(cat "$WORK/nghttp")" "SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1"
hasnt "$(cat "$WORK/nghttp")" "RST_STREAM"

step "h2load: each answer is right, small and large, and 304"
# N, then more flags
load() {
	local n=$1
	shift
	h2load -n "$n" -c 5 -m 20 -H "$AUTH" "$@" >"$WORK/load"
	has "$(cat "$WORK/load")" "$n succeeded, 0 failed, 0 errored"
}
load 5000 "$F/app.json"
load 100 "$F/big"
load 5000 -H "If-None-Match: $ETAG" "$F/app.json"
has "$(cat "$WORK/load")" "5000 3xx"

step "a watch hears of a publish"
mkfifo "$WORK/events"
curl -sN --http2-prior-knowledge -H "$AUTH" \
	"$URL/api/v1/watch?prefix=acme/" >"$WORK/events" &
WATCH=$!
exec 3<"$WORK/events"
until_event() {
	local line
	while read -r -t 60 line <&3; do
		case $line in *"$1"*) return ;; esac
	done
	fail "no $1 came"
}
until_event ": watching"
h2 POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "{\"port\": 9090}"}'
yes 200
until_event "app.json"
kill "$WATCH" && wait "$WATCH" 2>/dev/null || true
exec 3<&-

step "a WebSocket is a stream among others"
is "$(python3 "$(dirname "$0")/h2/tunnel.py" "${URL##*:}" "$TOKEN")" "anyone?
closed 1000 1" tunnel

step "of a WebSocket whose answers are not taken nothing more is taken, and later all is"
is "$(python3 "$(dirname "$0")/h2/tunnel.py" "${URL##*:}" "$TOKEN" flood)" "all pongs" flood

step "who has no token has so many streams of a connection, and leaves others theirs"
coproc STRANGERS { python3 "$(dirname "$0")/h2/strangers.py" "${URL##*:}" 2>&1; }
PID=$STRANGERS_PID
exec 4>&"${STRANGERS[1]}"
read -r -t 60 line <&"${STRANGERS[0]}" || fail "strangers.py"
is "$line" full strangers
printf '\0\0\0\0\0' >"$WORK/frame"
anybody() { # curl arguments
	curl -s -D "$WORK/headers" -o "$WORK/body" "$@"
	HEADERS=$(tr -d '\r' <"$WORK/headers")
	BODY=$(tr -d '\0' <"$WORK/body")
}
check_health() {
	anybody --http2-prior-knowledge --data-binary @"$WORK/frame" -H 'TE: trailers' \
		-H 'Content-Type: application/grpc' "$URL/grpc.health.v1.Health/Check"
}
check_health
is "$(header grpc-status)" 0 status
# It stays open, and says nothing before its hello.
: >"$WORK/headers"
curl -sN -D "$WORK/headers" -o /dev/null "$URL/api/v1/ws" -H 'Connection: Upgrade' \
	-H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -m 60 \
	-H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==' &
SOCKET=$!
until_ok grep -q "HTTP/1.1 101" "$WORK/headers"
kill "$SOCKET"
wait "$SOCKET" || true
echo >&4
wait "$PID" || fail "strangers.py"
exec 4>&-

step "the drain lets a watch go, and ends"
curl -sN --http2-prior-knowledge -H "$AUTH" \
	"$URL/api/v1/watch?prefix=acme/" >"$WORK/events" &
WATCH=$!
exec 3<"$WORK/events"
until_event ": watching"
stop_daemon
wait "$WATCH" || fail "curl: the stream was cut off ($?)"
exec 3<&-

step "over TLS the protocol is agreed on: h2 for who speaks it"
start_daemon --tls-cert-file "$WORK/cert.pem" --tls-key-file "$WORK/key.pem"
URL=https://localhost:${URL##*:}
F=$URL/api/v1/fetch/config/acme/shop/prod
tls() { curl -s -o "$WORK/body" -w '%{http_code} %{http_version}' --cacert "$WORK/cert.pem" \
	-H "$AUTH" "$@"; }
is "$(tls "$F/app.json")" "200 2" default
is "$(tls --http1.1 "$F/app.json")" "200 1.1" "HTTP/1.1"
is "$(tls --no-alpn "$F/app.json")" "200 1.1" "no ALPN"
is "$(tls --tls-max 1.2 "$F/big")" "200 2" "TLS 1.2"
cmp "$WORK/body" "$WORK/big" || fail "other bytes"
load 2000 "$F/app.json"
