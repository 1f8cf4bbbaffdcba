#!/usr/bin/env bash
# What conflux fetch prints is what the server says that it is, and with a pinned key
# what the cluster signed; anything else is refused.
. "$(dirname "$0")/lib.bash"
openssl genpkey -algorithm ED25519 -out "$WORK/signing.key" 2>/dev/null
openssl pkey -in "$WORK/signing.key" -pubout -out "$WORK/signing.pub"
openssl genpkey -algorithm ED25519 2>/dev/null | openssl pkey -pubout -out "$WORK/other.pub"
chmod 600 "$WORK/signing.key"
AT=acme/shop/prod/app.toml
# fetch [FLAGS]: RC, what it printed and what it said.
fetch() {
	RC=0
	conflux fetch "$AT" "$@" >"$WORK/printed" 2>"$WORK/said" || RC=$?
}
refused() {
	is "$RC" 1 "exit code"
	is "$(cat "$WORK/printed")" "" "what was printed"
	has "$(cat "$WORK/said")" "$1"
}

step "a cluster that signs: with its key the content, with another nothing"
start_daemon --signing-key-file "$WORK/signing.key"
make_tenant acme
make_config app.toml "n = 1" toml
yes 201
for key in "" "--public-key=$WORK/signing.pub"; do
	fetch ${key:+"$key"}
	is "$RC" 0 "exit code: $(cat "$WORK/said")"
	is "$(cat "$WORK/printed")" "n = 1" "what was printed"
done
fetch --public-key "$WORK/other.pub"
refused "is not signed by the key"
fetch --public-key "$WORK/none.pub"
[ "$RC" != 0 ] || fail "without the file"
fetch --public-key "$WORK/signing.key"
is "$RC" 2 "a key that is not public"

step "who stands between changes the content, or its version, or leaves the signature out"
cat >"$WORK/between.py" <<'PY'
import http.server, os, sys, urllib.request

class Between(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        lie = open(sys.argv[1] + "/lie").read()
        asked = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        with urllib.request.urlopen(urllib.request.Request(
                os.environ["CONFLUX_SERVER"] + self.path, headers=asked)) as answer:
            body, head = answer.read(), dict(answer.headers)
        if lie == "content":
            body = body.replace(b"1", b"2")
        elif lie == "version":
            head["X-Conflux-Version"] = "7"
        elif lie == "unsigned":
            head.pop("X-Conflux-Signature", None)
        elif lie == "hash":
            import hashlib
            body = body.replace(b"1", b"2")
            head["ETag"] = '"' + hashlib.sha256(body).hexdigest() + '"'
        elif lie == "bare":
            del head["ETag"]
        self.send_response(200)
        for name in ("ETag", "Content-Type", "X-Conflux-Version", "X-Conflux-Signature"):
            if name in head:
                self.send_header(name, head[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between)
with open(sys.argv[1] + "/between.new", "w") as f:
    f.write("http://127.0.0.1:%d" % server.server_address[1])
os.rename(sys.argv[1] + "/between.new", sys.argv[1] + "/between")
server.serve_forever()
PY
python3 "$WORK/between.py" "$WORK" 2>"$WORK/between.log" &
until_ok test -s "$WORK/between"
BETWEEN=$(cat "$WORK/between")
printf nothing >"$WORK/lie"
fetch --server "$BETWEEN" --public-key "$WORK/signing.pub"
is "$RC" 0 "exit code: $(cat "$WORK/said")"
for lie in content bare; do
	printf %s $lie >"$WORK/lie"
	fetch --server "$BETWEEN"
	refused "not what its hash says"
done
while read -r lie words; do
	printf %s "$lie" >"$WORK/lie"
	fetch --server "$BETWEEN" --public-key "$WORK/signing.pub"
	refused "$words"
done <<LIST
content not what its hash says
hash is not signed by the key
version version 7 is not signed by the key
unsigned is not signed
LIST
stop_daemon

step "a cluster that signs nothing gives nothing to who pins a key"
start_daemon
fetch
is "$RC" 0 "exit code: $(cat "$WORK/said")"
fetch --public-key "$WORK/signing.pub"
refused "is not signed: has the server a signing.key_file?"
stop_daemon
