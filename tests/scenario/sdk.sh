#!/usr/bin/env bash
# Programs with libconflux against real nodes: start, change, rejection, signatures,
# a start without a server, snapshots that were changed, the node that it watches
# killed.
. "$(dirname "$0")/lib.bash"

LIB=$CONFLUX_BUILD/release
for name in follow loop; do
	gcc -std=gnu17 -Wall -Werror -I"$LIB/inc/public" -o "$WORK/sdk_$name" \
		"examples/sdk_$name.c" -L"$LIB/lib" -lconflux
done
export LD_LIBRARY_PATH=$LIB/lib
openssl genpkey -algorithm ED25519 -out "$WORK/signing.key" 2>/dev/null
openssl pkey -in "$WORK/signing.key" -pubout -out "$WORK/signing.pub" 2>/dev/null
openssl genpkey -algorithm ED25519 2>/dev/null | openssl pkey -pubout -out "$WORK/other.pub"
chmod 600 "$WORK/signing.key"

OPTIONS=()
# More options; what it says is in $WORK/said, its commands go to descriptor 5.
follow() {
	rm -f "$WORK/in" "$WORK/said"
	mkfifo "$WORK/in"
	"$WORK/sdk_follow" endpoints="$ENDPOINTS" token="$TOKEN" at=acme/shop/prod \
		config=main.json path=n instance=web-1 "${OPTIONS[@]}" "$@" \
		<"$WORK/in" >"$WORK/said" 2>>"$WORK/follow.log" &
	FOLLOWER=$!
	exec 5>"$WORK/in"
}
# Starts, says what it begins with and ends.
start_once() {
	"$WORK/sdk_follow" endpoints="$ENDPOINTS" token="$TOKEN" at=acme/shop/prod \
		config=main.json path=n "${OPTIONS[@]}" "$@" </dev/null 2>"$WORK/once.log" |
		grep -a '^open' || true
}
said_or_ended() { grep -qx "$1" "$WORK/said" || ! kill -0 "$FOLLOWER"; }
says() {
	until_ok said_or_ended "$1"
	grep -qx "$1" "$WORK/said" ||
		fail "it ended without \"$1\": $(tail -n 3 "$WORK/follow.log")"
}
quit() {
	echo quit >&5
	exec 5>&-
	wait "$FOLLOWER" || fail "the program ended with $?"
}
publish() {
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" \
		-d "$(jq -n --arg c "$1" '{content: $c}')"
	yes 200
}
acknowledged() {
	ask GET "$URL/api/v1/instances?instance=web-1"
	[ "$(jq -c '.instances[] | [.state, .version, .connected]' <<<"$BODY")" = "[\"$1\",$2,true]" ]
}

step "a program has its configuration, and a change within moments"
start_daemon --signing-key-file "$WORK/signing.key"
ENDPOINTS=$URL
make_tenant acme
make_config main.json '{"n": 1, "port": 80}' json
yes 201
ID=$(field .id)
OPTIONS=(public_key="$WORK/signing.pub" snapshot="$WORK/snap" reject=never)
follow
says "open 1 version=1"
until_ok acknowledged applied 1
publish '{"n": 2, "port": 80}'
says "change 2 version=2"
until_ok acknowledged applied 2

step "its validator rejects a version: it goes on with the one before, and says why"
publish '{"n": 3, "note": "never"}'
until_ok acknowledged rejected 3
has "$BODY" 'it has \"never\" in it'
echo get >&5
says "get 2 version=2"
publish '{"n": 4}'
says "change 4 version=4"
hasnt "$(cat "$WORK/said")" "3 version=3"
quit

step "the signature is what the document says, to anybody"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/main.json" \
	-H 'X-Conflux-Want-Signature: ?1'
yes 200
printf 'conflux-signature-v1\nacme/shop/prod/main.json\n4\n%s\n' \
	"$(sha256sum <"$WORK/body" | cut -d' ' -f1)" >"$WORK/signed"
header X-Conflux-Signature | sed 's/.*sig=//' | base64 -d >"$WORK/sig"
openssl pkeyutl -verify -pubin -inkey "$WORK/signing.pub" -rawin -in "$WORK/signed" \
	-sigfile "$WORK/sig" >/dev/null || fail "openssl does not verify the signature"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/main.json"
is "$(header X-Conflux-Signature)" "" "a signature that nobody asked for"
ask GET "$URL/api/v1/signing-key"
is "$BODY" "$(cat "$WORK/signing.pub")" "the public key"

step "who pins another key takes nothing"
is "$(start_once public_key="$WORK/other.pub")" "" "a start with another key"
OPTIONS=(public_key="$WORK/other.pub" snapshot="$WORK/snap")
is "$(start_once)" "" "another key"
has "$(cat "$WORK/once.log")" "is not signed by the key"

step "a loop of the program's own"
"$WORK/sdk_loop" "$URL" "$TOKEN" acme shop prod main.json 2 >"$WORK/loop.out" &
LOOP=$!
until_ok grep -q "version 4" "$WORK/loop.out"
publish '{"n": 5}'
wait "$LOOP"
has "$(cat "$WORK/loop.out")" "version 5 of main.json
n is 5"

step "YAML and TOML are read by path, as JSON is"
make_config main.yaml $'# a comment\nn: 5\nweb: {port: 80}\nlist: [a, {b: c}]\n' yaml
yes 201
make_config main.toml $'n = 5\n[web]\nport = 80\n[[list]]\nb = "c"\n' toml
yes 201
OPTIONS=(public_key="$WORK/signing.pub")
is "$(start_once config=main.yaml path=web.port)" "open 80 version=1" "YAML"
is "$(start_once config=main.yaml path=list.1)" 'open {"b":"c"} version=1' "of YAML"
is "$(start_once config=main.toml path=web.port)" "open 80 version=1" "TOML"
is "$(start_once config=main.toml path=list.0.b)" "open c version=1" "of TOML"

step "a rule names it: it has its version, and others have theirs"
follow
says "open 5 version=5"
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [
	{"version_id": 5}, {"version_id": 2, "nodes": ["web-1"]}]}'
yes 200
says "change 2 version=2"
until_ok acknowledged applied 2
is "$(start_once)" "open 5 version=5" "somebody else"
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [{"version_id": 5}]}'
yes 200
says "change 5 version=5"
quit

step "a client certificate instead of a token, over TLS"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
	-subj "/CN=ca" -keyout "$WORK/ca.key" -out "$WORK/ca.pem" 2>/dev/null
# NAME ALTERNATIVE
make_cert() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
		-subj "/CN=$1" -keyout "$WORK/$1.key" -out "$WORK/$1.csr" 2>/dev/null
	openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" \
		-CAcreateserial -days 2 -extfile <(echo "subjectAltName=$2") \
		-out "$WORK/$1.pem" 2>/dev/null
}
make_cert server IP:127.0.0.1
make_cert web URI:spiffe://acme/web
stop_daemon
start_daemon --signing-key-file "$WORK/signing.key" --tls-cert-file "$WORK/server.pem" \
	--tls-key-file "$WORK/server.key" --tls-client-ca-file "$WORK/ca.pem"
URL=https://${URL#http://}
SSL_CERT_FILE=$WORK/ca.pem CONFLUX_SERVER=$URL conflux token create web --read-only \
	--certificate-name spiffe://acme/web >/dev/null
with_cert() {
	"$WORK/sdk_follow" endpoints="$URL" at=acme/shop/prod config=main.json path=n \
		ca="$WORK/ca.pem" "$@" </dev/null 2>"$WORK/once.log" || true
}
is "$(with_cert cert="$WORK/web.pem" key="$WORK/web.key")" "open 5 version=5" "a certificate"
is "$(with_cert)" "" "nothing to show"
has "$(cat "$WORK/once.log")" "unauthorized"
is "$(with_cert cert="$WORK/web.pem" key="$WORK/web.key" ca="$WORK/server.pem")" "" \
	"an authority that is none"
has "$(cat "$WORK/once.log")" "tls"
stop_daemon
start_daemon --signing-key-file "$WORK/signing.key"
ENDPOINTS=$URL

step "the n-th allocation of the process fails, whoever makes it"
# It starts, or says why not; it never ends by a signal.  No name is looked up, because
# getaddrinfo of glibc itself aborts in places.
n=1
while :; do
	rc=0
	MEMORY_FAILS=$n MEMORY_COUNT=$WORK/count LD_PRELOAD=$CONFLUX_BUILD/preload/memory.so \
		"$WORK/sdk_follow" endpoints="$URL" token="$TOKEN" \
		at=acme/shop/prod config=main.yaml path=n public_key="$WORK/signing.pub" \
		snapshot="$WORK/short" </dev/null >"$WORK/short.out" 2>"$WORK/short.log" || rc=$?
	case $rc in
	0) [ "$(cat "$WORK/short.out")" = "open 5 version=1" ] ||
		[ ! -s "$WORK/short.out" ] || fail "allocation $n: $(cat "$WORK/short.out")" ;;
	1 | 2) [ -s "$WORK/short.log" ] || fail "allocation $n: no reason is given" ;;
	*) fail "allocation $n: exit code $rc: $(cat "$WORK/short.log")" ;;
	esac
	[ "$(cat "$WORK/count")" -ge "$n" ] || break
	n=$((n + 1 + (${FULL:-0} ? 0 : n / 24)))
done
[ "$n" -gt 100 ] || fail "only $n allocations"
step "  ($n of them)"

step "no server: it starts from the snapshot, and only from its own"
(umask 077; openssl rand -hex 32 >"$WORK/key"; openssl rand -hex 32 >"$WORK/key2")
OPTIONS=(public_key="$WORK/signing.pub" boot=safe)
is "$(start_once snapshot="$WORK/snap")" "open 5 version=5" "a start"
is "$(start_once snapshot="$WORK/sealed" snapshot_key="$WORK/key")" "open 5 version=5" "a start"
ask GET "$URL/api/v1/mgt/configs/$ID"
stop_daemon KILL
OPTIONS+=(timeout=5000)
is "$(stat -c %a "$WORK/snap")" 600 "mode of the snapshot"
is "$(start_once snapshot="$WORK/snap")" "open 5 version=5 snapshot" "offline"
is "$(start_once snapshot="$WORK/snap" boot=once)" "open 5 version=5 snapshot" "offline"
is "$(start_once snapshot="$WORK/snap" boot=fast)" "" "fail-fast without a server"
is "$(start_once snapshot="$WORK/snap" at=acme/shop/prod labels=a=b)" "open (none) version=0" \
	"a snapshot of other labels"
has "$(cat "$WORK/once.log")" "of another application, environment or labels"
is "$(start_once snapshot="$WORK/sealed" snapshot_key="$WORK/key")" \
	"open 5 version=5 snapshot" "an encrypted one"
grep -qa '"n"' "$WORK/snap" || fail "the plain snapshot is no plain one"
! grep -qa '"n"' "$WORK/sealed" || fail "the sealed snapshot shows its content"
is "$(start_once snapshot="$WORK/sealed" snapshot_key="$WORK/key2")" "open (none) version=0" \
	"another key"
is "$(start_once snapshot="$WORK/snap" snapshot_key="$WORK/key")" "open (none) version=0" \
	"a plain one where it is to be encrypted"

step "a snapshot that somebody changed is refused, byte by byte"
size=$(stat -c %s "$WORK/snap")
for at in 0 9 30 80 150 200 $((size / 2)) $((size - 40)) $((size - 1)); do
	cp "$WORK/snap" "$WORK/bad"
	flip "$WORK/bad" "$at"
	is "$(start_once snapshot="$WORK/bad")" "open (none) version=0" "byte $at"
	has "$(cat "$WORK/once.log")" "refused"
done
cp "$WORK/snap" "$WORK/bad"
chmod 622 "$WORK/bad"
is "$(start_once snapshot="$WORK/bad")" "open (none) version=0" "one that others may write"
# A whole one that the checksum cannot tell from a right one: the signature does.
python3 - "$WORK/snap" "$WORK/bad" <<'END'
import hashlib, sys
data = open(sys.argv[1], "rb").read()[:-32]
old, new = b'{"n": 5}', b'{"n": 6}'
assert data.count(old) == 1
data = data.replace(old, new)
data = data.replace(hashlib.sha256(old).digest(), hashlib.sha256(new).digest())
open(sys.argv[2], "wb").write(data + hashlib.sha256(data).digest())
END
chmod 600 "$WORK/bad"
is "$(start_once snapshot="$WORK/bad")" "open (none) version=0" "a forged one"
has "$(cat "$WORK/once.log")" "is not signed"
OPTIONS=(boot=safe timeout=5000)
is "$(start_once snapshot="$WORK/bad")" "open 6 version=5 snapshot" "without a pinned key"

step "three nodes: the one that it watches is killed, and it misses nothing"
NODES="1 2 3"
declare -A PID HTTP
PEERS=
for n in $NODES; do PEERS=$PEERS,$n=127.0.0.1:$(free_port); done
PEERS=${PEERS#,}
for n in $NODES; do
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 --node-id "$n" \
		--raft-listen "$(sed "s/.*\b$n=\([^,]*\).*/\1/" <<<"$PEERS")" --peers "$PEERS" \
		--cluster-hold 20s \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
done
ENDPOINTS=
for n in $NODES; do
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
	ENDPOINTS=$ENDPOINTS,${HTTP[$n]}
done
ENDPOINTS=${ENDPOINTS#,}
for n in $NODES; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
at 1
make_tenant acme
make_config main.json '{"n": 1}' json
yes 201
ID=$(field .id)
OPTIONS=()
follow
# Also where it asks a node first that is behind.
says "open 1 version=1"
for round in 2 3; do
	# What it begins with may be there before its watch is.
	is_connected() { echo status >&5; tail -n 1 "$WORK/said" | grep -q "connected=1"; }
	until_ok is_connected
	watched=$(sed -n 's/^status connected=1 .*endpoint=\([^ ]*\).*/\1/p' "$WORK/said" | tail -n 1)
	if [ "$round" = 2 ]; then
		for n in $NODES; do [ "${HTTP[$n]}" != "$watched" ] || end_node "$n" KILL; done
	fi
	for n in "${!PID[@]}"; do at "$n"; done
	until_ok ready "$n"
	# It may have been the leader, and nobody has noticed yet.
	published() {
		ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H "Idempotency-Key: round$round" \
			-d "{\"content\": \"{\\\"n\\\": $round}\"}"
		[ "$STATUS" = 200 ]
	}
	until_ok published
	says "change $round version=$round"
done
quit
has "$(cat "$WORK/follow.log")" "the watch ended"
for n in "${!PID[@]}"; do end_node "$n"; done
