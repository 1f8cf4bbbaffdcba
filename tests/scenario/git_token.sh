#!/usr/bin/env bash
# The token for Git over https: read at start, and again at SIGHUP.
. "$(dirname "$0")/lib.bash"
PATH=$CONFLUX_BIN:$PATH
REPO=$WORK/git/repo
commit() { git -C "$REPO" add -A && git -C "$REPO" -c user.name=a -c user.email=a@b commit -qm "$1"; }
mkdir -p "$WORK/git"
git init -q -b main "$REPO"
mkdir -p "$REPO/shop/prod"
echo 'a: 1' >"$REPO/shop/prod/x.yaml"
commit one
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
	-subj "/CN=localhost" -addext "subjectAltName=DNS:localhost" \
	-keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
# It ends with this script, which holds its standard input.
mkfifo "$WORK/alive"
python3 tests/unit/source/https.py "$WORK/git" "$WORK/cert.pem" "$WORK/key.pem" second 403 \
	<"$WORK/alive" >"$WORK/port" 2>"$WORK/https.log" &
exec 7>"$WORK/alive"
until_ok test -s "$WORK/port"
AT=localhost:$(cat "$WORK/port")

step "a server that refuses the token is told of"
echo first >"$WORK/token"
start_daemon --sources-token-file "$WORK/token" --sources-token-hosts "$AT" \
	--sources-ca-file "$WORK/cert.pem" --sources-private-hosts true
make_tenant acme
conflux apply -f - >/dev/null <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxSource
metadata: {name: shop, namespace: acme}
spec: {url: "https://$AT/repo/.git", interval: 1h}
Y
rc=0; OUT=$(conflux reconcile acme/shop 2>&1) || rc=$?
[ $rc != 0 ] || fail "the wrong token does"
has "$OUT" "refused the token"

step "a token that cannot be read leaves the one that is in force"
echo second >"$WORK/token"
mv "$WORK/token" "$WORK/token.away"
kill -HUP "$DAEMON"
until_ok grep -q "what was in force stays" "$WORK/daemon.log"
mv "$WORK/token.away" "$WORK/token"
rc=0; OUT=$(conflux reconcile acme/shop 2>&1) || rc=$?
has "$OUT" "refused the token"

step "at SIGHUP the new one counts"
kill -HUP "$DAEMON"
until_ok grep -q "the token of sources" "$WORK/daemon.log"
conflux reconcile acme/shop >/dev/null
is "$(conflux fetch acme/shop/prod/x.yaml)" "a: 1" "what the server has"

exec 7>&-
stop_daemon
