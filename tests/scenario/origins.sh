#!/usr/bin/env bash
# Pages of other origins: which may ask, what their browsers are told of it, and what a
# certificate that the browser adds by itself does not do for them.
. "$(dirname "$0")/lib.bash"
HERE=$(realpath "$(dirname "$0")")/origins

new_key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
new_key -x509 -days 2 -subj /CN=ours -keyout "$WORK/ca.key" -out "$WORK/ca.pem"
issue() { # FILE SUBJECT [more of x509]
	new_key -new -subj "$2" -keyout "$WORK/$1.key" -out "$WORK/$1.csr"
	openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" \
		-CAcreateserial -days 2 -out "$WORK/$1.pem" "${@:3}" 2>/dev/null
}
issue server /CN=server -extfile <(echo subjectAltName=IP:127.0.0.1)
issue ops /CN=ops
printf 'cacert = "%s"\n' "$WORK/ca.pem" >"$WORK/.curlrc"
export CURL_HOME=$WORK

with_origins() { # [LIST]
	start_daemon --tls-cert-file "$WORK/server.pem" --tls-key-file "$WORK/server.key" \
		--server-drain-idle 0 --tls-client-ca-file "$WORK/ca.pem" \
		${1:+--server-allowed-origins "$1"}
	URL=https://${URL#http://} KUBE=https://${KUBE#http://}
	FETCH=$URL/api/v1/fetch/config/acme/shop/prod/main
	CONFIGS=$URL/api/v1/mgt/configs
}
conflux() { "$CONFLUX_BIN/conflux" --server "$URL" --ca-file "$WORK/ca.pem" "$@"; }
# page ORIGIN METHOD URL [curl arguments]: as a page asks, with a token where it adds one.
page() {
	STATUS=$(curl -s -o "$WORK/body" -D "$WORK/headers" -w '%{http_code}' \
		"${HTTP[@]}" -X "$2" -H "Origin: $1" "$3" "${@:4}") || fail "$2 $3: no answer"
	BODY=$(cat "$WORK/body")
	HEADERS=$(tr -d '\r' <"$WORK/headers")
}
HTTP=()
token() { printf 'Authorization: Bearer %s' "$TOKEN"; }
preflight() { # ORIGIN URL [curl arguments]
	page "$1" OPTIONS "$2" -H 'Access-Control-Request-Method: POST' "${@:3}"
}
ops=(--cert "$WORK/ops.pem" --key "$WORK/ops.key")
allowed() { is "$(header access-control-allow-origin)" "$1" "allowed origin"; }
credentials() { is "$(header access-control-allow-credentials)" "$1" "credentials"; }
grown() { [ "$(curl -s -H "$(token)" "$URL/_cluster/status" | jq .cluster_version)" -ge 4 ]; }

step "without the setting no page hears anything of origins"
with_origins
until_ok grown
make_tenant acme
make_config main hello
yes 201
page https://app.example GET "$FETCH" -H "$(token)"
yes 200
is "$BODY" hello body
allowed ""
is "$(header vary)" "" vary
preflight https://app.example "$CONFIGS"
yes 405
allowed ""

step "but a page of another origin may not use the certificate that a browser has"
conflux token create ops --certificate-name CN=ops >/dev/null
ask_ops() { page "$1" "$2" "$3" "${ops[@]}" "${@:4}"; }
BODY_NEW='{"tenant": "acme", "application": "shop", "environment": "prod", "name": "stolen",
	"format": "text", "content": "x"}'
ask_ops https://evil.example POST "$CONFIGS" -d "$BODY_NEW" -H 'Content-Type: text/plain' \
	--http1.1
yes 403
# No body: curl 7.88 takes it for a failure when it is refused before it was sent.
for HTTP in --http1.1 --http2; do
	ask_ops https://evil.example POST "$CONFIGS"
	yes 403
	has "$(field .detail)" "a page of https://evil.example may do nothing here without a token"
	for origin in null "http://127.0.0.1:${URL##*:}" "$URL.evil.example" https://127.0.0.1; do
		ask_ops "$origin" POST "$CONFIGS"
		yes 403
	done
	page "https://evil.example" POST "$URL/_cluster/initialize"
	yes 403
	has "$(field .detail)" "without a token"
done
HTTP=()
ask GET "$CONFIGS?address=acme/shop/prod/stolen"
yes 404
ask_ops "$URL" GET "$FETCH"
yes 200
STATUS=$(curl -s -o /dev/null -w '%{http_code}' "${ops[@]}" "$FETCH")
yes 200
page https://evil.example POST "$CONFIGS" -d "$BODY_NEW" "${ops[@]}" -H "$(token)"
yes 201
stop_daemon

step "a page that is named may ask and read, over each protocol, errors too"
with_origins "https://app.example:443, http://localhost:3000"
for HTTP in --http1.1 --http2; do
	for origin in https://app.example http://localhost:3000; do
		page "$origin" GET "$FETCH" -H "$(token)"
		yes 200
		allowed "$origin"
		credentials true
		is "$(header vary)" Origin vary
		has "$(header access-control-expose-headers)" X-Conflux-Revision
		has "$(header access-control-expose-headers)" ETag
		page "$origin" GET "$FETCH" -H "$(token)" \
			-H "If-None-Match: $(header etag)"
		yes 304
		allowed "$origin"
		page "$origin" GET "$FETCH"
		yes 401
		allowed "$origin"
		page "$origin" GET "$URL/api/v1/nothing" -H "$(token)"
		yes 404
		allowed "$origin"
		preflight "$origin" "$CONFIGS" \
			-H 'Access-Control-Request-Headers: authorization,x-conflux-label-zone'
		yes 204
		allowed "$origin"
		credentials true
		is "$(header access-control-allow-headers)" authorization,x-conflux-label-zone
		has "$(header access-control-allow-methods)" DELETE
		is "$(header vary)" "Origin, Access-Control-Request-Headers" vary
		is "$BODY" "" body
	done
	for origin in https://evil.example null https://app.example.evil.example \
		http://app.example https://app.example:8443; do
		page "$origin" GET "$FETCH" -H "$(token)"
		yes 200
		allowed ""
		credentials ""
		is "$(header vary)" Origin vary
		preflight "$origin" "$CONFIGS"
		yes 403
		allowed ""
		has "$(field .detail)" "server.allowed_origins"
	done
done
HTTP=()
ask GET "$FETCH"
is "$(header vary)" Origin "a cache keeps it from whoever says no origin, too"
ask_ops https://app.example GET "$FETCH"
yes 200
allowed https://app.example

step "names of headers that are none are not sent back"
preflight https://app.example "$CONFIGS" -H 'Access-Control-Request-Headers: a: b'
yes 204
allowed https://app.example
is "$(header access-control-allow-headers)" "" "headers"

step "a stream and a long poll may be read, too"
curl -sN -D "$WORK/headers" -o "$WORK/stream" -H "$(token)" \
	-H "Origin: https://app.example" "$URL/api/v1/watch?prefix=" &
WATCH=$!
until_ok grep -q watching "$WORK/stream"
kill "$WATCH"
wait "$WATCH" || true
HEADERS=$(tr -d '\r' <"$WORK/headers")
allowed https://app.example
page https://app.example GET "$URL/api/v1/watch?prefix=&wait=100ms" -H "$(token)"
yes 200
allowed https://app.example
stop_daemon

step "*: any page, with a token, and never with what the browser adds"
with_origins "*, https://app.example"
page https://any.example GET "$FETCH" -H "$(token)"
yes 200
allowed "*"
credentials ""
ask_ops https://any.example GET "$FETCH"
yes 403
allowed "*"
ask_ops https://app.example GET "$FETCH"
yes 200
credentials true
socket() { /usr/bin/python3 "$HERE/subscribe.py" "$URL" "$1" "$WORK"; }
is "$(socket https://app.example)" subscribed "named"
is "$(socket https://any.example)" error "any"
stop_daemon

step "what is no origin is refused at the start"
for list in https://a.example/ a.example https:// '*.example' https://u@a.example \
	'https://a.example, null' ' https://*.example' 1x://a; do
	rc=0
	timeout 20 "$CONFLUX_BIN/confluxd" --data-dir "$WORK/other" --listen 127.0.0.1:0 \
		--server-allowed-origins "$list" 2>"$WORK/refused" || rc=$?
	[ $rc != 0 ] && [ $rc != 124 ] || fail "'$list' was taken"
	has "$(cat "$WORK/refused")" "server.allowed_origins"
	has "$(cat "$WORK/refused")" "is no origin"
done
