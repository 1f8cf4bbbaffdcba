#!/usr/bin/env bash
# The command: what it prints, where, and how it ends.
. "$(dirname "$0")/lib.bash"
start_daemon
PATH=$CONFLUX_BIN:$PATH
mkdir "$WORK/m" "$WORK/m/sub"
cat >"$WORK/m/b.yaml" <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxConfig
metadata: {name: c, namespace: acme}
spec: {application: shop, environment: prod, name: c.toml, content: "a = 1\n"}
Y
cat >"$WORK/m/sub/z.json" <<Y
{"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"}}
Y
echo "not a manifest" >"$WORK/m/readme.txt"

# status: what the command ended with; OUT and ERR what it said.
run() {
	status=0
	OUT=$(conflux "$@" 2>"$WORK/err") || status=$?
	ERR=$(cat "$WORK/err")
}
ends() { is "$status" "$1" "exit status, said: $OUT $ERR"; }

step "diff tells what apply would do, with 8"
run diff -f "$WORK/m"
ends 8
has "$OUT" "tenant/acme"
step "apply: a folder, tenants first; again: unchanged; standard input"
run apply -f "$WORK/m"
ends 0
is "$OUT" "tenant/acme created
confluxconfig/c created" output
is "$ERR" "" errors
run apply -f "$WORK/m"
is "$OUT" "tenant/acme unchanged
confluxconfig/c unchanged" output
run diff -f "$WORK/m"
ends 0
sed 's/a = 1/a = 2/' "$WORK/m/b.yaml" >"$WORK/b2.yaml"
run diff -f "$WORK/b2.yaml"
ends 8
has "$OUT" '+ spec.content: "a = 2\n"'
OUT=$(conflux apply -f - <"$WORK/b2.yaml")
is "$OUT" "confluxconfig/c configured" output

step "a file that names a resourceVersion is for that state of the object"
conflux get config c -n acme -o yaml >"$WORK/then.yaml"
sed 's/^status:.*//' "$WORK/then.yaml" | sed '/^metadata:/a\  labels: {a: b}' \
	>"$WORK/now.yaml"
run apply -f "$WORK/now.yaml"
ends 0
is "$OUT" "confluxconfig/c configured" output
for command in apply diff; do
	run $command -f "$WORK/now.yaml"
	ends 6
	has "$ERR" "the object has moved to"
	has "$ERR" "take resourceVersion out of the file"
done
cat >"$WORK/none.yaml" <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: Tenant
metadata: {name: none, resourceVersion: 7}
Y
run apply -f "$WORK/none.yaml"
ends 6
has "$ERR" "there is no such object"

step "what is wrong with an object is told, and what is unknown in it"
sed 's/application: shop/application: 5, bogus: 1/' "$WORK/m/b.yaml" >"$WORK/five.yaml"
run apply -f "$WORK/five.yaml"
ends 4
has "$ERR" "spec.application: Invalid value: 5: must be of type string"
sed 's/application: shop/application: shop, bogus: 1/' "$WORK/b2.yaml" >"$WORK/bogus.yaml"
run apply -f "$WORK/bogus.yaml"
ends 0
has "$ERR" 'warning: unknown field "spec.bogus"'
run apply -f "$WORK/m/sub" -f "$WORK/b2.yaml" -o yaml
is "$(grep -c '^---$' <<<"$OUT")" 2 documents
sed 's/acme/other/' "$WORK/m/b.yaml" >"$WORK/other.yaml"
sed 's/acme/other/' "$WORK/m/sub/z.json" >"$WORK/other.json"
run diff -f "$WORK/other.json" -f "$WORK/other.yaml"
is "$(grep -c 'a = 1' <<<"$OUT")" 1 "told once"

step "get in all forms"
run get configs -n acme
has "$OUT" "VERSION"
run get configs -n acme -o name
is "$OUT" "confluxconfig.gitops.conflux.io/c" output
run get config c -n acme -o json
is "$(jq -r .spec.name <<<"$OUT")" c.toml name
run get config c -n acme -o yaml
has "$OUT" "name: c.toml"
run get configs -A -o wide
has "$OUT" "TENANT"
run get apps -n acme
has "$OUT" "shop"

step "fetch is byte for byte; publish, history, resolve, rollback"
run fetch acme/shop/prod/c.toml
is "$OUT" "a = 2" output
printf 'a = 3\n\n' >"$WORK/three"
run publish acme/shop/prod/c.toml -f "$WORK/three" -m three
ends 0
is "$(conflux audit list --limit 1000 -o json | jq -r '[.records[] | select(.action == "publish")] | last.reason')" three reason
conflux fetch acme/shop/prod/c.toml >"$WORK/got"
cmp "$WORK/got" "$WORK/three" || fail "other bytes"
run history acme/shop/prod/c.toml
has "$OUT" three
is "$(wc -l <<<"$OUT")" 4 lines
run resolve acme/shop/prod/c.toml -l zone=n
has "$OUT" "version 3"
run resolve acme/shop/prod/c.toml -o name
is "$OUT" 3 output
run resolve acme/shop/prod/c.toml -o wide
has "$OUT" sha256
live() { conflux history acme/shop/prod/c.toml | awk '$2 == "all" { print $1 }'; }
is "$(live)" 3 "what is live"
run history acme/shop/prod/c.toml -o name
is "$OUT" "3
2
1" output
run rollback acme/shop/prod/c.toml --version-id 1 -m back
ends 0
is "$(live)" 1 "what is live"
run publish acme/shop/prod/none.toml -f "$WORK/three"
ends 3
has "$ERR" "publish changes what is there"
run fetch acme/shop/prod/c.toml
is "$OUT" "a = 1" output
run publish acme/shop/prod/c.toml --version-id 3
ends 0
echo 'a = ' >"$WORK/bad"
run publish acme/shop/prod/c.toml -f "$WORK/bad"
ends 4
has "$ERR" "refused"
has "$ERR" "line 1"

step "watch prints one line a change, and goes on over a restart"
conflux watch acme/shop/prod/c.toml --count 2 >"$WORK/seen" 2>"$WORK/watch.err" &
W=$!
until_ok grep -q "watching after" "$WORK/watch.err"
run publish acme/shop/prod/c.toml --version-id 1
until_ok grep -q "version 1" "$WORK/seen"
PORT=${URL##*:}
stop_daemon KILL
LISTEN=127.0.0.1:$PORT start_daemon
run publish acme/shop/prod/c.toml --version-id 2
ends 0
wait "$W" || fail "watch ended with $?"
is "$(wc -l <"$WORK/seen")" 2 lines
has "$(tail -n 1 "$WORK/seen")" "version 2"
run watch --prefix acme/ --since 1 --count 1 -o json
ends 0
is "$(jq -r .key <<<"$OUT")" acme/shop/prod/c.toml key

step "a watch from a revision to come waits a moment, and says that it is not here"
NOW=$(conflux status -o json | jq .revision)
# Where the machine is slow the moment is over before, and it asks again.
curl -sN --max-time 20 --retry 9 -H "Authorization: Bearer $TOKEN" -o "$WORK/early" \
	"$URL/api/v1/watch?prefix=acme/&since=$((NOW + 1))" &
W=$!
run publish acme/shop/prod/c.toml --version-id 1
run publish acme/shop/prod/c.toml --version-id 2
until_ok grep -q "\"revision\":${OUT##* }," "$WORK/early"
hasnt "$(cat "$WORK/early")" "\"revision\":$((NOW + 1)),"
kill "$W"
wait "$W" || true
ask GET "$URL/api/v1/watch?prefix=acme/&since=$((NOW + 99))"
yes 504
has "$BODY" "revision $((NOW + 99)) is not here yet"

step "tokens, audit, status, version"
run token create ci --read-only
ends 0
CI=$OUT
has "$ERR" "shown once"
status=0
CONFLUX_TOKEN=$CI conflux publish acme/shop/prod/c.toml --version-id 1 \
	>/dev/null 2>"$WORK/err" || status=$?
is "$status" 5 "exit status"
printf '%s\n' "$CI" >"$WORK/token"
CONFLUX_TOKEN='' conflux fetch acme/shop/prod/c.toml --token-file "$WORK/token" \
	>/dev/null || fail "a token from a file"
run token delete ci
ends 0
run token delete root
ends 6
has "$ERR" "is the last root token"
has "$ERR" "make another first"
run audit verify
ends 0
run audit list --limit 3
ends 0
has "$OUT" "token:root"
run status -o json
is "$(jq -r .is_ready <<<"$OUT")" true ready
run status -o name
is "$OUT" node/1 output
run --version
is "$OUT" "conflux $(conflux version -o name)" output
run status -o wide
has "$OUT" cluster_id
run version
has "$OUT" server

step "what is not there, and what is wrong"
run fetch acme/shop/prod/none
ends 3
run get nothing
ends 2
has "$ERR" "confluxconfigs"
run pubish
ends 2
has "$ERR" "did you mean publish?"
run help aply
ends 2
is "$OUT" "" output
has "$ERR" "did you mean apply?"
run help apply
ends 0
run apply --filenme "$WORK/m"
ends 2
has "$ERR" "did you mean --filename?"
run apply -f "$WORK/none"
ends 3
run get configs
ends 2
run resolve acme/shop/prod/c.toml -l zone
ends 2
has "$ERR" "KEY=VALUE"
run delete configs none c -n acme
ends 3
is "$OUT" "confluxconfig/c deleted" output
run delete config c -n acme
ends 3
run delete environment shop.prod -n acme
run delete app shop -n acme
ends 0
run delete -f "$WORK/m"
ends 3
is "$OUT" "tenant/acme deleted" output
run apply -f "$WORK/m"
ends 0
run delete config c -n acme -f "$WORK/m"
ends 2
CONFLUX_TOKEN=wrong run status
ends 5
has "$ERR" "the server does not know this token"
# Kubernetes' own text says less.
CONFLUX_TOKEN=wrong run get tenants
ends 5
has "$ERR" "the server does not know this token"
CONFLUX_TOKEN="$TOKEN"$'\n'"$TOKEN" run get tenants
ends 2
has "$ERR" "CONFLUX_TOKEN: the token holds a byte"
has "$ERR" "of several it is one alone"
CONFLUX_TOKEN='' run get tenants
ends 5
has "$ERR" "a token is needed, and none was sent"
CONFLUX_SERVER=http://127.0.0.1:1 run status
ends 7
has "$ERR" "is confluxd running there"
run status --server nonsense
ends 2
has "$ERR" "--server or CONFLUX_SERVER"
run status --server "https://${URL#http://}"
ends 7
has "$ERR" "does it speak TLS"
run cluster
ends 2
has "$ERR" "conflux help cluster"
run cluster elect 2
ends 2
has "$ERR" 'cluster: "elect" is not understood'
run cluster transfer
ends 2
has "$ERR" "hint: conflux cluster transfer ID"
run cluster backup verify a b
ends 2
run token list all
ends 2
has "$ERR" "hint: conflux token list"
run reconcile acme/none
ends 3
has "$ERR" "acme/none: there is no such source"
run release show acme/none
ends 3
has "$ERR" "conflux release list"
CONFLUX_SERVER=http://127.0.0.1:1,$URL run status -o name
ends 0
run apply -f "$WORK/m" --server "http://127.0.0.1:1,$URL"
ends 0
stop_daemon

step "over TLS too a watch goes on after the server was killed"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -days 2 \
	-keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
start_tls() {
	start_daemon --tls-cert-file "$WORK/cert.pem" \
		--tls-key-file "$WORK/key.pem"
	export CONFLUX_SERVER=https://${URL#http://}
}
start_tls
CONFLUX_SERVER=$URL run get tenants
ends 7
has "$ERR" "without TLS (https:// where not)"
conflux apply -f "$WORK/m" --ca-file "$WORK/cert.pem" >/dev/null ||
	fail "apply over TLS"
# What an earlier watch has said is not what this one says.
rm -f "$WORK/seen" "$WORK/watch.err"
conflux watch --prefix acme/ --count 2 --ca-file "$WORK/cert.pem" \
	>"$WORK/seen" 2>"$WORK/watch.err" &
W=$!
until_ok grep -q "watching after" "$WORK/watch.err"
run publish acme/shop/prod/c.toml -f "$WORK/three" --ca-file "$WORK/cert.pem"
ends 0
until_ok grep -q "version 2" "$WORK/seen"
PORT=${URL##*:}
stop_daemon KILL
LISTEN=127.0.0.1:$PORT start_tls
run rollback acme/shop/prod/c.toml --ca-file "$WORK/cert.pem"
ends 0
wait "$W" || fail "watch ended with $?: $(cat "$WORK/watch.err")"
has "$(tail -n 1 "$WORK/seen")" "version 1"
stop_daemon
