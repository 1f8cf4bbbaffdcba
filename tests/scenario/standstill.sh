#!/usr/bin/env bash
# Clients that fetch a large configuration and do not read it cost the node next to no
# memory, and get every byte of it when they do, whatever is published meanwhile.
. "$(dirname "$0")/lib.bash"
HERE=$(dirname "$0")/fetch

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
	-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
	-keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
head -c 5600000 /dev/urandom | base64 -w 0 >"$WORK/big"
jq -n --rawfile c "$WORK/big" '{tenant: "acme", application: "shop",
	environment: "prod", name: "big", format: "text", content: $c}' >"$WORK/req"
SHA=$(sha256sum "$WORK/big" | cut -d' ' -f1)
P=/api/v1/fetch/config/acme/shop/prod/big

publish_others() {
	local i
	for i in 1 2 3 4 5; do
		ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d "{\"content\": \"$i\"}"
		yes 200
	done
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"version_id": 1}'
	yes 200
}

# stand KIND N MOST: N more that do not read cost at most MOST KiB.
stand() {
	local before=$RSS
	order "ask $1 $2 $URL"
	[ $((RSS - before)) -lt "$3" ] ||
		fail "$((RSS - before)) KiB more for $2 clients ($1) that do not read"
	echo "  $2 clients: $((RSS - before)) KiB"
}
order() {
	echo "$*" >&"${STAND[1]}"
	read -r -t 60 -u "${STAND[0]}" RSS || fail "$(tail -n 3 "$WORK/stand.log")"
}
begin() {
	export TOKEN
	coproc STAND { exec /usr/bin/python3 "$HERE/stand.py" "$P" "$SHA" "$DAEMON" \
		2>"$WORK/stand.log"; }
	STANDING=$STAND_PID
	# What the first one costs once for all.
	order "ask $1 1 $URL"
}
finish() {
	order read
	local to=${STAND[1]}
	exec {to}>&-
	wait "$STANDING" || fail "$(tail -n 3 "$WORK/stand.log")"
}

start_daemon
make_tenant acme
ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/req"
yes 201
ID=$(field .id)

step "60 clients over HTTP/1.1 and 30 over HTTP/2 stand still: each holds a piece"
begin http
stand http 60 6000
stand h2 30 12000

step "others publish meanwhile, and then a third of them reads: each gets its own version"
publish_others
finish

step "the same over TLS"
stop_daemon
start_daemon --tls-cert-file "$WORK/cert.pem" --tls-key-file "$WORK/key.pem"
URL=${URL/http:/https:}
begin tls
stand tls 40 6000
finish
