#!/usr/bin/env bash
# Certificates of clients: who is let in by one, as whom, and until when; and those of
# the server, which are read again at SIGHUP.
. "$(dirname "$0")/lib.bash"

ca() { # name
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
		-days 2 -subj "/CN=$1" -keyout "$WORK/$1.key" -out "$WORK/$1.pem" \
		2>/dev/null
}
# issue FILE CA SUBJECT [more of x509]
issue() {
	local file=$1 ca=$2 subject=$3
	shift 3
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
		-subj "$subject" -keyout "$WORK/$file.key" -out "$WORK/$file.csr" \
		2>/dev/null
	openssl x509 -req -in "$WORK/$file.csr" -CA "$WORK/$ca.pem" \
		-CAkey "$WORK/$ca.key" -CAcreateserial -days 2 \
		-out "$WORK/$file.pem" "$@" 2>/dev/null
}
names() { printf 'subjectAltName=%s\n' "$1" >"$WORK/ext"; }

ca ours
ca theirs
names IP:127.0.0.1
issue server ours /CN=server -extfile "$WORK/ext"
issue web ours /CN=web
issue stranger theirs /CN=web
names 'URI:spiffe://acme/shop,URI:spiffe://acme/root'
issue shop ours /CN=web -extfile "$WORK/ext"
issue two ours /CN=web/CN=root

start_daemon --tls-cert-file "$WORK/server.pem" --tls-key-file "$WORK/server.key" \
	--tls-client-ca-file "$WORK/ours.pem" --server-handshake-timeout 3s
PORT=${URL##*:}
URL=https://127.0.0.1:$PORT KUBE=https://127.0.0.1:$PORT/apis/gitops.conflux.io/v1alpha1
conflux() { "$CONFLUX_BIN/conflux" --server "$URL" --ca-file "$WORK/ours.pem" "$@"; }
printf 'cacert = "%s"\n' "$WORK/ours.pem" >"$WORK/curlrc"
export CURL_HOME=$WORK
mv "$WORK/curlrc" "$WORK/.curlrc"
make_tenant acme
make_config main hello
yes 201
FETCH=$URL/api/v1/fetch/config/acme/shop/prod/main

# by CERTIFICATE METHOD URL [curl arguments]: without a token.
by() {
	local cert=$1 method=$2 url=$3
	shift 3
	: >"$WORK/body"
	# A POST that is refused before its body is read: curl 7.88 takes the end of
	# the stream, RST_STREAM with NO_ERROR, for a failure.
	[ "$method" = GET ] || set -- --http1.1 "$@"
	STATUS=$(curl -s -o "$WORK/body" -D "$WORK/headers" -w "%{http_code}" \
		--cert "$WORK/$cert.pem" --key "$WORK/$cert.key" -X "$method" "$@" \
		"$url") || STATUS=none
	BODY=$(cat "$WORK/body")
}
# Of what somebody asked for: what the system does comes in between when it likes.
recent_audit() { conflux audit list -o json |
	jq -r '[.records[] | select(.subject != "system")][-1] | '"$1"; }
until_version() { [ "$(curl -s -H "Authorization: Bearer $TOKEN" \
	"$URL/_cluster/status" | jq .cluster_version)" -ge 4 ]; }
until_ok until_version

step "a certificate that nobody bound is nobody's, and is told its name"
by web GET "$FETCH"
yes 401
has "$(field .detail)" '"CN=web" stands for no token'

step "one that another authority signed does not get in; without one a token does"
by stranger GET "$FETCH"
is "$STATUS" none status
ask GET "$FETCH"
yes 200

step "bound, it may do what the token may, and the audit says who it was"
conflux token create web --read-only --certificate-name CN=web >/dev/null
has "$(recent_audit .target)" "token-create token web for the certificate CN=web"
by web GET "$FETCH"
yes 200
by web POST "$KUBE/tenants" -d '{"apiVersion": "gitops.conflux.io/v1alpha1",
	"kind": "Tenant", "metadata": {"name": "blue"}}'
yes 403
conflux token create shop --certificate-name spiffe://acme/shop >/dev/null
by shop POST "$KUBE/tenants" -d '{"apiVersion": "gitops.conflux.io/v1alpha1",
	"kind": "Tenant", "metadata": {"name": "blue"}}'
yes 201
is "$(recent_audit '.subject + ", " + .credential')" \
	"cert:spiffe://acme/shop, certificate shop" "who"
has "$(conflux token list)" "spiffe://acme/shop"

step "the first URI is the name; two common names are none"
conflux token create second --certificate-name spiffe://acme/root >/dev/null
conflux token delete shop >/dev/null
by shop GET "$FETCH"
yes 401
by two GET "$FETCH"
yes 401
hasnt "$(field .detail)" CN=

step "a watch over a WebSocket needs no token where the certificate is bound"
ws() { # CERTIFICATE: the first two messages of a watch
	curl -s --http1.1 -N --max-time 60 --cert "$WORK/$1.pem" --key "$WORK/$1.key" \
		-H "Connection: Upgrade" -H "Upgrade: websocket" \
		-H "Sec-WebSocket-Version: 13" \
		-H "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" \
		-H "X-Conflux-Instance: ws-$1" "$URL/api/v1/ws" >/dev/null &
	W=$!
}
connected() {
	[ "$(curl -s -H "Authorization: Bearer $TOKEN" "$URL/metrics" |
		sed -n 's/^conflux_instances_connected //p')" = "$1" ]
}
ws web
until_ok connected 1
kill "$W"
wait "$W" 2>/dev/null || true
until_ok connected 0

step "a token goes before a certificate, and no token is the key of one"
by web GET "$FETCH" -H "Authorization: Bearer wrong"
yes 401
by web POST "$KUBE/tenants" -H "Authorization: Bearer $TOKEN" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "red"}}'
yes 201
for name in '{"name": "x", "certificate_name": "web"}' \
	'{"name": "x", "certificate_name": ""}'; do
	ask POST "$URL/api/v1/tokens" -d "$name"
	yes 422
done
ask POST "$URL/api/v1/tokens" -d '{"name": "x", "certificate_name": "CN=web"}'
yes 409

step "a watch ends with the certificate that it came by, over each protocol"
# x509 -req counts in days.
mkdir "$WORK/ca"
: >"$WORK/ca/index"
cat >"$WORK/ca/conf" <<END
[ca]
default_ca = ours
[ours]
new_certs_dir = $WORK/ca
database = $WORK/ca/index
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
END
short() { # SECONDS
	END=$(($(date +%s) + $1))
	openssl ca -batch -config "$WORK/ca/conf" -cert "$WORK/ours.pem" \
		-keyfile "$WORK/ours.key" -in "$WORK/web.csr" -notext \
		-startdate 20200101000000Z -enddate "$(date -u -d "@$END" +%Y%m%d%H%M%SZ)" \
		-out "$WORK/short.pem" 2>/dev/null
	cp "$WORK/web.key" "$WORK/short.key"
}
short 30
curl -sN -m 60 --cert "$WORK/short.pem" --key "$WORK/short.key" \
	"$URL/api/v1/watch?key=acme/shop/prod/main" >"$WORK/short.stream" 2>&1 &
STREAM=$!
curl -sN -m 60 --cert "$WORK/short.pem" --key "$WORK/short.key" \
	"$KUBE/tenants?watch=true&allowWatchBookmarks=true" >"$WORK/short.objects" 2>&1 &
OBJECTS=$!
/usr/bin/python3 "$(dirname "$0")/watch/certificate.py" "$URL" "$WORK" short ||
	fail "WebSocket and gRPC"
wait "$STREAM" || fail "the stream was cut off"
wait "$OBJECTS" || fail "the watch of objects was cut off"
[ "$(date +%s)" -ge "$END" ] || fail "too early"
has "$(cat "$WORK/short.stream")" ': watching'
has "$(cat "$WORK/short.stream")" 'the certificate has ended'
has "$(cat "$WORK/short.objects")" '"type":"ADDED"'
has "$(cat "$WORK/short.objects")" '"code":401'
by web GET "$FETCH"
yes 200

step "unbound it may no more, also on a connection and a watch that are open"
curl -sN --cert "$WORK/web.pem" --key "$WORK/web.key" \
	"$URL/api/v1/watch?key=acme/shop/prod/main" >"$WORK/watch" 2>&1 &
W=$!
until_ok grep -q watching "$WORK/watch"
conflux token delete web >/dev/null
by web GET "$FETCH"
yes 401
wait "$W" || true
has "$(cat "$WORK/watch")" unauthorized

step "a certificate that has ended does not get in"
openssl x509 -req -in "$WORK/web.csr" -CA "$WORK/ours.pem" -CAkey "$WORK/ours.key" \
	-days -1 -out "$WORK/web.pem" 2>/dev/null ||
	openssl x509 -req -in "$WORK/web.csr" -CA "$WORK/ours.pem" \
		-CAkey "$WORK/ours.key" -not_before 20200101000000Z \
		-not_after 20200102000000Z -out "$WORK/web.pem" 2>/dev/null
by web GET "$FETCH"
is "$STATUS" none status

step "at SIGHUP another authority counts"
cp "$WORK/ours.pem" "$WORK/server-ca.pem"
printf 'cacert = "%s"\n' "$WORK/server-ca.pem" >"$WORK/.curlrc"
cp "$WORK/theirs.pem" "$WORK/ours.pem"
kill -HUP "$DAEMON"
conflux() { "$CONFLUX_BIN/conflux" --server "$URL" --ca-file "$WORK/server-ca.pem" "$@"; }
conflux token create web --read-only --certificate-name CN=web >/dev/null
gets_in() { by stranger GET "$FETCH"; [ "$STATUS" = 200 ]; }
until_ok gets_in
by shop GET "$FETCH"
is "$STATUS" none status

step "who does not finish the handshake is closed; the expiry is a metric"
exec 3<>"/dev/tcp/127.0.0.1/$PORT"
timeout 20 cat <&3 >/dev/null || fail "the handshake has no limit"
exec 3>&-
ask GET "$URL/metrics"
[ "$(sed -n 's/^conflux_tls_certificate_expiry_seconds //p' <<<"$BODY")" -gt \
	"$(date +%s)" ] || fail "expiry"
stop_daemon

step "who was denied is in the audit log by the name that an authority vouched for"
start_daemon
has "$("$CONFLUX_BIN/conflux" audit list -o json --limit 1000)" \
	"times cert:CN=web: fetch, unauthorized"
stop_daemon
