#!/usr/bin/env bash
# gRPC, asked by a client that has nothing of ours but the port (grpcio, of Debian),
# in clear text and over TLS.
. "$(dirname "$0")/lib.bash"
CLIENT=$(dirname "$0")/grpc/client.py
start_daemon --server-drain-delay 1500ms
make_tenant acme

step "much comes by Git"
make_tenant many
git init -q -b main "$WORK/repo"
mkdir -p "$WORK"/repo/{small,fat}/all
python3 - "$WORK/repo" <<'PY'
import sys
for i in range(4000):
    with open(f"{sys.argv[1]}/small/all/{i:04}.json", "w") as f:
        f.write(f'{{"n": {i}}}')
for i in range(300):
    with open(f"{sys.argv[1]}/fat/all/{i:03}.txt", "w") as f:
        f.write(f"{i} " * 8000)
PY
git -C "$WORK/repo" add -A
git -C "$WORK/repo" -c user.name=T -c user.email=t@example.invalid commit -qm many
ask POST "$KUBE/namespaces/many/confluxsources" -d '{
	"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxSource",
	"metadata": {"name": "many"},
	"spec": {"url": "file://'"$WORK"'/repo", "ref": {"branch": "main"},
		"interval": "1h",
		"layout": {"files": {"pathTemplate": "{application}/{environment}/{name}"}}}}'
yes 201
ask POST "$URL/api/v1/sources/many/many/reconcile?wait=true"
yes 200

step "over HTTP/1.1 a call is a request with trailers"
make_config a.json '{"a": 1}' json
yes 201
make_config b.json '"b"' json
yes 201
make_config c.json '"c"' json
yes 201
fetch() {
	curl -s --http1.1 -D "$WORK/headers" -o "$WORK/body" --data-binary @"$WORK/frame" \
		-H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/grpc' \
		-H 'TE: trailers' "$@" "$URL/conflux.v1.ConfigService/FetchConfig" || return
	HEADERS=$(tr -d '\r' <"$WORK/headers")
}
printf '\0\0\0\0\034\n\032\n\004acme\022\004shop\032\004prod"\006a.json' >"$WORK/frame"
fetch
is "$(header grpc-status)" 0 status
has "$(tr -d '\0' <"$WORK/body")" '{"a": 1}'
ask POST "$URL/conflux.v1.ConfigService/FetchConfig" -H 'Content-Type: application/json'
yes 415
has "$BODY" "application/grpc"

step "content of many chunks comes whole over HTTP/1.1 too"
make_tenant huge
{ head -c 150000 /dev/urandom | base64 -w 0; printf 'the end'; } >"$WORK/big"
jq -n --rawfile c "$WORK/big" '{tenant: "huge", application: "shop", environment: "prod",
	name: "big", format: "text", content: $c}' >"$WORK/request"
ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/request"
yes 201
printf '\0\0\0\0\031\n\027\n\004huge\022\004shop\032\004prod"\003big' >"$WORK/frame"
fetch -m 30 || fail "the answer stopped"
is "$(header transfer-encoding)" chunked framing
tail -c "$(stat -c %s "$WORK/big")" "$WORK/body" | cmp - "$WORK/big" || fail "other bytes"
# The same address, want_content.
printf '\0\0\0\0\033\n\027\n\004huge\022\004shop\032\004prod"\003big\060\001' >"$WORK/watch"
curl -sN --http1.1 -o "$WORK/watched" --data-binary @"$WORK/watch" -H 'TE: trailers' \
	-H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/grpc' \
	"$URL/conflux.v1.WatcherService/Watch" &
WATCH=$!
all_came() { grep -aq 'the end' "$WORK/watched"; }
until_ok all_came
kill "$WATCH"
wait "$WATCH" || true
python3 -c 'import sys; a, b = (open(f, "rb").read() for f in sys.argv[1:]); sys.exit(a not in b)' \
	"$WORK/big" "$WORK/watched" || fail "other bytes"
# Behind a call that is still waited for, with min_revision 2^35.
printf '\0\0\0\0\040\n\027\n\004huge\022\004shop\032\004prod"\003big \200\200\200\200\200\001' \
	>"$WORK/waits"
{
	for one in waits frame; do
		printf 'POST /conflux.v1.ConfigService/FetchConfig HTTP/1.1\r\nHost: h\r\n'
		printf 'Authorization: Bearer %s\r\nTE: trailers\r\n' "$TOKEN"
		printf 'Content-Type: application/grpc\r\nGrpc-Timeout: %s\r\n' \
			"$([ $one = waits ] && echo 200m || echo 30S)"
		printf 'Content-Length: %d\r\n\r\n' "$(stat -c %s "$WORK/$one")"
		cat "$WORK/$one"
	done
} >"$WORK/two"
exec 7<>"/dev/tcp/127.0.0.1/${URL##*:}"
cat "$WORK/two" >&7
timeout 30 sed -u '/the end/q' <&7 >"$WORK/both" || fail "the second answer stopped"
exec 7>&-
has "$(tr -d '\0\r' <"$WORK/both")" "grpc-status: 4"

step "a deadline is kept by the node, not by the client alone"
# With min_revision 2^35, which is waited for.
printf '\0\0\0\0\043\n\032\n\004acme\022\004shop\032\004prod"\006a.json \200\200\200\200\200\001' >"$WORK/frame"
fetch -H 'grpc-timeout: 200m'
is "$(header grpc-status)" 4 status
is "$(header grpc-message)" "the deadline has passed" message
fetch -H 'grpc-timeout: soon'
is "$(header grpc-status)" 13 status
is "$(header content-type)" application/grpc type

step "a client that knows nothing asks for everything"
coproc CLIENT_IO { /usr/bin/python3 "$CLIENT" "${URL#http://}" "$TOKEN" 2>&1; }
CLIENT_PID=$CLIENT_IO_PID
exec 5<&"${CLIENT_IO[0]}" 6>&"${CLIENT_IO[1]}"
while IFS= read -r line <&5; do
	[ "$line" != ready ] || break
	printf '%s\n' "$line"
done
[ "${line:-}" = ready ] || fail "the client ended"
ask GET "$URL/metrics"
has "$BODY" 'conflux_grpc_calls_total{status="UNAUTHENTICATED"} 2'
# Two that the client cancelled, and one whose deadline it saw first, or we.
grep -Eq '^conflux_grpc_calls_total\{status="CANCELLED"\} [1-9]' <<<"$BODY" ||
	fail "nobody was cancelled"
kill -TERM "$DAEMON"
echo >&6
cat <&5
wait "$CLIENT_PID" || fail "the client"
wait "$DAEMON" || fail "the daemon ended with $?"

step "over TLS, with what ALPN chose"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	-keyout "$WORK/key.pem" -out "$WORK/cert.pem" -days 2 -subj /CN=localhost \
	-addext subjectAltName=IP:127.0.0.1 2>/dev/null
openssl genpkey -algorithm ED25519 -out "$WORK/signing.key" 2>/dev/null
openssl pkey -in "$WORK/signing.key" -pubout -out "$WORK/signing.pub" 2>/dev/null
chmod 600 "$WORK/signing.key"
start_daemon --tls-cert-file "$WORK/cert.pem" --tls-key-file "$WORK/key.pem" \
	--signing-key-file "$WORK/signing.key" --server-heartbeat 300ms
/usr/bin/python3 "$CLIENT" "${URL#http://}" "$TOKEN" "$WORK/cert.pem" "$WORK/signing.pub" 2>&1 ||
	fail "the client over TLS"
