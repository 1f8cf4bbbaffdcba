#!/usr/bin/env bash
# The daemon itself: settings, TLS, signals, limits, what it refuses.
. "$(dirname "$0")/lib.bash"
C=$CONFLUX_BIN/confluxd

refuses() {      # exit status, words, arguments
	local want=$1 words=$2 got=0 said
	shift 2
	said=$("$C" "$@" 2>&1) || got=$?
	is "$got" "$want" "exit status of confluxd $*: $said"
	has "$said" "$words"
}

step "wrong settings are refused, with place and hint"
refuses 2 "--data-dir" --listen 127.0.0.1:0
refuses 2 "server-loops" --server-loop 2
refuses 4 "server.loops" --data-dir "$WORK/x" --server-loops 1000
printf 'server:\n  lisen: 127.0.0.1:1\n' >"$WORK/bad.yaml"
refuses 4 "bad.yaml: line 2" --config "$WORK/bad.yaml" --data-dir "$WORK/x"
refuses 5 "clear text beyond loopback" --data-dir "$WORK/x" --listen 0.0.0.0:0
[ ! -e "$WORK/x/confluxd.listen" ] || fail "it listened"

step "flags win over the environment, and this over the file"
printf 'server: {loops: 2}\nlog: {level: error}\nstorage: {data_dir: %s}\n' \
	"$WORK/y" >"$WORK/c.yaml"
SHOWN=$(CONFLUX_LOG_LEVEL=warn "$C" --config "$WORK/c.yaml" --check-config \
	--server-loops 3)
has "$SHOWN" "--server-loops"
has "$SHOWN" "CONFLUX_LOG_LEVEL"
has "$SHOWN" "c.yaml:"
has "$("$C" --version)" "confluxd 0."

step "the first start makes a root token that only root reads"
start_daemon --server-loops 2 --server-header-timeout 3s
is "$(stat -c %a "$DATA/root.token")" 600 mode
BEFORE=$(cat "$DATA/root.token")

step "one data directory has one daemon, one address too"
refuses 7 "another process" --data-dir "$DATA" --listen 127.0.0.1:0
refuses 7 "in use" --data-dir "$WORK/z" --listen "${URL#http://}"

step "who is slow is told so; who sends too much too"
exec 3<>"/dev/tcp/127.0.0.1/${URL##*:}"
printf 'GET /livez HT' >&3
has "$(timeout 20 cat <&3)" "408 Request Timeout"
exec 3>&-
is "$(curl -s -o /dev/null -w '%{http_code}' -H "X: $(printf 'x%.0s' $(seq 20000))" \
	"$URL/livez")" 431 status

step "metrics, health, version"
ask GET "$URL/metrics"
yes 200
has "$BODY" "conflux_source_jobs_total 0"
# Each is in docs/metrics.md with its type and help, and nothing else is.
awk '/^# HELP/ { n = $3; $1 = $2 = $3 = ""; help = substr($0, 4) }
	/^# TYPE/ { print "| `" $3 "` | " $4 " | " help " |" }' <<<"$BODY" | sort >"$WORK/shown"
grep '^| `conflux_' docs/metrics.md | sort >"$WORK/documented"
[ -s "$WORK/shown" ] || fail "no metrics"
diff "$WORK/documented" "$WORK/shown" >"$WORK/out" || fail "docs/metrics.md: $(cat "$WORK/out")"
for path in livez readyz version; do
	is "$(curl -s -o /dev/null -w '%{http_code}' "$URL/$path")" 200 "$path"
done
is "$(curl -s -o /dev/null -w '%{http_code}' "$URL/metrics")" 401 status

step "SIGTERM drains: a watch ends, the daemon too, with 0"
curl -sN -H "Authorization: Bearer $TOKEN" "$URL/api/v1/watch?prefix=" \
	>"$WORK/watch" &
W=$!
until_ok grep -q watching "$WORK/watch"
kill -TERM "$DAEMON"
wait "$W" || fail "the watch ended with $?"
wait "$DAEMON" || fail "confluxd ended with $?"
DAEMON=

step "a second start keeps the token"
start_daemon
is "$TOKEN" "$BEFORE" token
stop_daemon

step "TLS, and a new certificate at SIGHUP"
certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
		-days 2 -subj "/CN=$1" -addext "subjectAltName=IP:127.0.0.1" \
		-keyout "$WORK/key.pem" -out "$WORK/cert.pem" 2>/dev/null
}
certificate first
refuses 4 "tls.key_file" --data-dir "$WORK/t" --tls-cert-file "$WORK/cert.pem"
start_daemon --tls-cert-file "$WORK/cert.pem" --tls-key-file "$WORK/key.pem"
PORT=${URL##*:}
S=https://127.0.0.1:$PORT
is "$(curl -s --cacert "$WORK/cert.pem" -o /dev/null -w '%{http_code}' "$S/livez")" \
	200 status
"$CONFLUX_BIN/conflux" --server "$S" --ca-file "$WORK/cert.pem" status \
	>/dev/null || fail "conflux over TLS"
if "$CONFLUX_BIN/conflux" --server "$S" status >/dev/null 2>&1; then
	fail "a certificate that nobody signed is taken"
fi
certificate second
kill -HUP "$DAEMON"
until_ok curl -s --cacert "$WORK/cert.pem" "$S/livez"
has "$(curl -sv --cacert "$WORK/cert.pem" "$S/livez" 2>&1)" "second"
echo nonsense >"$WORK/cert.pem"
kill -HUP "$DAEMON"
until_ok grep -q "what was in force stays" "$WORK/daemon.log"
is "$(curl -sk -o /dev/null -w '%{http_code}' "$S/livez")" 200 status
stop_daemon
