#!/usr/bin/env bash
# More than a node can do, or may do for one client: who is refused, how, and who is
# not.
. "$(dirname "$0")/lib.bash"
FETCH=api/v1/fetch/config/acme/shop/prod/main
HERE=$(dirname "$0")/watch

code() { # curl arguments
	curl -s -o /dev/null -w '%{http_code}' "$@"
}
fetch() { # path, token, more for curl
	code "${@:3}" -H "Authorization: Bearer ${2:-$TOKEN}" "$URL/${1:-$FETCH}"
}
# How many of so many fetches are answered with this status.
count() { # status, times, path, token
	local n=0 i
	for ((i = 0; i < $2; i++)); do
		[ "$(fetch "${3:-$FETCH}" "${4:-$TOKEN}")" != "$1" ] || n=$((n + 1))
	done
	echo "$n"
}
# A bucket fills up again while a busy machine looks elsewhere.
ask_until_refused() { # url
	local i
	for ((i = 0; i < 100; i++)); do
		ask GET "$1"
		[ "$STATUS" != 429 ] || return 0
	done
	fail "never refused"
}
# A burst of 10, and one each second since $BEGAN.
is_burst() {
	[ "$1" -ge 10 ] && [ "$1" -le $((12 + SECONDS - BEGAN)) ] ||
		fail "$1 were answered"
}
test_other() { [ "$(fetch "$FETCH" "$(cat "$WORK/other")")" = 200 ]; }
metric() {
	curl -s -H "Authorization: Bearer $TOKEN" "$URL/metrics" |
		sed -n "s/^$1 //p"
}
one_configuration() {
	make_tenant acme
	make_config main hello
	yes 201
}

step "a subject has its burst, then its rate; others have theirs"
start_daemon
one_configuration
conflux token create other --read-only -o json | jq -r .token >"$WORK/other"
stop_daemon
start_daemon --limits-subject-rate 1 --limits-subject-burst 10
BEGAN=$SECONDS
is_burst "$(count 200 30)"
ask_until_refused "$URL/$FETCH"
is "$(field .code)" too-many-requests code
is "$(header Retry-After)" 1 Retry-After
is "$(header RateLimit-Policy)" '"subject";q=10;w=10' policy
ask_until_refused "$KUBE/tenants"
is "$(field .reason)" TooManyRequests reason
is "$(fetch "$FETCH" "$(cat "$WORK/other")")" 200 "another token"
for path in metrics api/v1/status livez; do
	is "$(fetch "$path")" 200 "$path"
done
# At most what a busy machine leaves time for goes on before.
TOKEN=$TOKEN URL=$URL /usr/bin/python3 "$HERE/calls.py" exhausted 10 ||
	fail "a watch over gRPC above the rate"
sleep "$(header Retry-After)"
is "$(fetch)" 200 "after Retry-After"
[ "$(metric 'conflux_http_limited_total{by="subject"}')" -ge 10 ] || fail metric
stop_daemon
start_daemon
has "$(conflux audit list -o json)" "fetch, too-many-requests"
stop_daemon

step "a tenant too, whoever asks; another tenant does not feel it"
start_daemon --limits-tenant-rate 1 --limits-tenant-burst 10
make_tenant blue
ask POST "$URL/api/v1/mgt/configs" -d '{"tenant": "blue", "application": "shop",
	"environment": "prod", "name": "main", "format": "text", "content": "x"}'
yes 201
BEGAN=$SECONDS
N=$(count 200 15)
M=$(count 200 15 "$FETCH" "$(cat "$WORK/other")")
is_burst $((N + M))
is "$(fetch "${FETCH/acme/blue}")" 200 "another tenant"
# Watches that name its keys count too, in each protocol.
POLL="api/v1/watch?key=blue/shop/prod/main&wait=100ms"
ask_until_refused "$URL/$POLL"
has "$(field .detail)" "tenant blue"
is "$(fetch "${POLL/blue/green}")" 200 "a watch of another tenant"
stream_refused() {
	ask_until_refused "$URL/$POLL"
	[ "$(fetch "${POLL%&*}" "$TOKEN" -m 0.5)" = 429 ]
}
until_ok stream_refused
TOKEN=$TOKEN URL=$URL /usr/bin/python3 "$HERE/sockets.py" tenant ||
	fail "a watch over a WebSocket above the rate"
TOKEN=$TOKEN URL=$URL /usr/bin/python3 "$HERE/calls.py" tenant ||
	fail "a watch over gRPC above the rate"
stop_daemon

step "whoever guesses tokens is not looked at any more; who was known there is"
start_daemon --limits-address-rate 2 --limits-address-burst 5 --server-loops 2
is "$(fetch)" 200
N=$(count 401 20 "$FETCH" wrong)
[ "$N" -ge 5 ] && [ "$N" -le 6 ] || fail "$N of 20 were looked at"
is "$(fetch "$FETCH" "$(cat "$WORK/other")")" 429 "a right guess"
is "$(fetch)" 200 "a token that was known before"
is "$(code "$URL/livez")" 200 "without a token"
TOKEN=wrong ask GET "$URL/$FETCH"
yes 429
WAIT=$(header Retry-After) URL=$URL TOKEN=none /usr/bin/python3 "$HERE/sockets.py" guess ||
	fail "a hello above the rate"
stop_daemon
start_daemon --limits-address-rate 60 --limits-address-burst 2
guess_refused() { [ "$(fetch "$FETCH" wrong)" = 429 ]; }
until_ok guess_refused
until_ok test_other
stop_daemon

step "an address has so many connections, those of all loops together"
start_daemon --server-loops 2 --server-connections-per-address 2
PORT=${URL##*:}
for fd in 3 4; do
	eval "exec $fd<>/dev/tcp/127.0.0.1/$PORT"
	printf 'GET /livez HTTP/1.1\r\nhost: h\r\n\r\n' >&$fd
	read -r LINE <&$fd
	has "$LINE" "200 OK"
done
ask GET "$URL/livez"
yes 429
is "$(header Retry-After)" 2 Retry-After
has "$(field .detail)" "your address has more connections"
exec 3>&-
lets_in() { [ "$(code "$URL/livez")" = 200 ]; }
until_ok lets_in
exec 4>&-
stop_daemon

step "a subject has so many watches, those of all loops and protocols together"
start_daemon --server-loops 2 --limits-subject-watches 2
PORT=${URL##*:} WATCH="api/v1/watch?key=acme/shop/prod/main"
for fd in 3 4; do
	eval "exec $fd<>/dev/tcp/127.0.0.1/$PORT"
	printf 'GET /%s HTTP/1.1\r\nhost: h\r\nauthorization: Bearer %s\r\n\r\n' \
		"$WATCH" "$TOKEN" >&$fd
	read -r LINE <&$fd
	has "$LINE" "200 OK"
done
ask GET "$URL/$WATCH"
yes 429
is "$(header Retry-After)" 1 Retry-After
has "$(field .detail)" "as many watches"
ask GET "$URL/$WATCH&wait=1s"
yes 429
export URL TOKEN
/usr/bin/python3 "$HERE/calls.py" exhausted 0 || fail "a watch over gRPC"
/usr/bin/python3 "$HERE/sockets.py" full || fail "one over a WebSocket"
is "$(fetch "$WATCH&wait=100ms" "$(cat "$WORK/other")")" 200 "another subject"
is "$(fetch)" 200 "a fetch"
exec 3>&-
lets_watch() { [ "$(fetch "$WATCH&wait=100ms")" = 200 ]; }
until_ok lets_watch
/usr/bin/python3 "$HERE/calls.py" room || fail "no room over gRPC"
exec 4>&-
stop_daemon

step "a queue that stands is cut: some are refused at once, the others are served"
cat >"$WORK/flood.py" <<'PY'
"""64 requests on their way on each of 32 connections, for some seconds; says how
many answers there were by status, and what a probe beside it got."""
import collections, re, select, socket, sys, time
host, port, path, token, seconds = sys.argv[1:]
request = (f"GET /{path} HTTP/1.1\r\nhost: h\r\n"
           f"authorization: Bearer {token}\r\n\r\n").encode()
seen = collections.Counter()
retry = collections.Counter()

def ask(path):
    with socket.create_connection((host, int(port)), 20) as s:
        s.sendall(f"GET /{path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
                  f"authorization: Bearer {token}\r\n\r\n".encode())
        got = b""
        while more := s.recv(65536):
            got += more
    return got.decode()

socks = {}
for _ in range(32):
    s = socket.create_connection((host, int(port)))
    socks[s.fileno()] = [s, b"", 0]
    s.sendall(request * 64)
poll = select.epoll()
for fd in socks:
    poll.register(fd, select.EPOLLIN)
end = time.monotonic() + float(seconds)
probes = 0
while time.monotonic() < end:
    for fd, _ in poll.poll(1):
        entry = socks[fd]
        more = entry[0].recv(1 << 20)
        if not more:
            sys.exit("a connection was closed")
        text = entry[1] + more
        cut = text.rfind(b"HTTP/1.1 ")
        whole, entry[1] = text[:cut], text[cut:]
        statuses = re.findall(rb"HTTP/1.1 (\d+)", whole)
        for s in statuses:
            seen[s.decode()] += 1
        for r in re.findall(rb"Retry-After: (\d+)", whole):
            retry[r.decode()] += 1
        if statuses:
            entry[0].sendall(request * len(statuses))
    if seen["503"] and probes < 3:
        probes += 1
        for p in ("livez", "metrics", "api/v1/status"):
            answer = ask(p)
            if not answer.startswith("HTTP/1.1 200"):
                sys.exit(f"{p}: {answer[:200]}")
print(seen["200"], seen["503"], sum(retry.values()), probes,
      sum(n for s, n in seen.items() if s not in ("200", "503")))
PY
flood() { # seconds, path
	timeout 60 python3 "$WORK/flood.py" 127.0.0.1 "${URL##*:}" "$2" "$TOKEN" \
		"$1" || fail "the flood"
}
start_daemon --server-loops 1 --server-queue-target 2ms
export URL TOKEN
coproc BUSY_WS { /usr/bin/python3 "$HERE/sockets.py" overloaded 2>&1; }
BUSY_PID=$BUSY_WS_PID
exec 3<&"${BUSY_WS[0]}" 4>&"${BUSY_WS[1]}"
read -r -t 20 line <&3 && [ "$line" = open ] || fail "overloaded: ${line:-}"
read -r OK_N BUSY RETRY PROBES OTHERS <<<"$(flood 3 api/v1/audit/verify)"
# It has ended where it was told.
(echo >&4) 2>/dev/null || true
wait "$BUSY_PID" || fail "a subscribe over a WebSocket: $(cat <&3)"
exec 3<&- 4>&-
[ "$BUSY" -gt 0 ] || fail "nobody was refused ($OK_N served)"
[ "$OK_N" -gt 0 ] || fail "only $OK_N were served, $BUSY refused"
[ "$RETRY" -gt 0 ] && [ "$PROBES" -gt 0 ] || fail "no Retry-After, or no probe"
is "$OTHERS" 0 "other answers"
[ "$(metric conflux_http_shed_total)" -ge "$BUSY" ] || fail "metric of what was refused"
is_over() { [ "$(fetch)" = 200 ] && [ "$(metric conflux_http_loops_overloaded)" = 0 ]; }
until_ok is_over
stop_daemon

step "without a target nobody is refused"
start_daemon --server-loops 1 --server-queue-target 0
read -r OK_N BUSY _ _ OTHERS <<<"$(flood 1 "$FETCH")"
is "$BUSY $OTHERS" "0 0" "refused"
stop_daemon
