#!/usr/bin/env bash
# A node is told to end while it does whatever takes long: it ends in time, in order, and
# nothing is used that is gone already (test build, so that the sanitizer looks).
. "$(dirname "$0")/lib.bash"
need_test_build
export ASAN_OPTIONS="detect_leaks=1:${ASAN_OPTIONS:-}"

# Takes connections and never says a word; each is a line of $WORK/came.
python3 - "$WORK" <<'END' &
import socket, sys
s = socket.create_server(("127.0.0.1", 0), backlog=64)
with open(sys.argv[1] + "/port", "w") as f:
    f.write("%d\n" % s.getsockname()[1])
held = []
while True:
    held.append(s.accept()[0])
    with open(sys.argv[1] + "/came", "a") as f:
        f.write("one\n")
END
until_ok test -s "$WORK/port"
HANGS=127.0.0.1:$(cat "$WORK/port")

# It ends with 0 within a minute, and the sanitizer found nothing.
ends() { # PID LOG
	local pid=$1 rc=0
	kill -TERM "$pid"
	(for _ in $(seq 600); do kill -0 "$pid" 2>/dev/null || exit 0; sleep 0.1; done
		kill -ABRT "$pid") &
	wait "$pid" || rc=$?
	! grep -A 30 'Sanitizer\|runtime error\|must ' "$2" || fail "a mistake of memory"
	is "$rc" 0 "the exit code"
	has "$(cat "$2")" "stopped"
}

step "a node alone: a fetch, a webhook, a release, a backup, watches and a wait are under way"
CONFLUX_BIN=$TEST_BUILD start_daemon --server-drain-timeout 1s \
	--webhooks-private-hosts true --sources-private-hosts true \
	--backup-dir "$WORK/kept" --backup-interval 1s
until_ok curl -sf "$URL/readyz"
make_tenant acme
head -c 3000000 /dev/urandom | base64 -w 0 >"$WORK/large"
for n in 1 2 3 4; do
	jq -n --arg n "large$n" --rawfile c "$WORK/large" '{tenant: "acme", application: "shop",
		environment: "prod", name: $n, format: "text", content: ($n + $c)}' >"$WORK/put"
	ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/put"
	yes 201
done
make_config main one
yes 201
ID=$(field .id)
ask POST "$URL/api/v1/_config/webhooks" -d '{"tenant": "acme", "name": "deaf",
	"url": "http://'"$HANGS"'/", "timeout": "60s"}'
yes 201
ask POST "$KUBE/namespaces/acme/releasepolicies" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "ReleasePolicy", "metadata": {"name": "steps"},
	"spec": {"strategy": "canary", "steps": [{"nodes": ["web-1"], "pause": "manual"}],
	"conditions": {"applied": {"atLeast": 90}}}}'
yes 201
curl -sN -H "Authorization: Bearer $TOKEN" -H "X-Conflux-Instance: web-1" \
	"$URL/api/v1/watch?prefix=acme/" >"$WORK/watched" &
until_ok grep -q watching "$WORK/watched"
curl -s -H "Authorization: Bearer $TOKEN" "$URL/api/v1/watch?key=acme/shop/prod/none&wait=60s" \
	>"$WORK/polled" &
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "two"}'
yes 200
until_ok grep -q acme/shop/prod/main "$WORK/watched"
ask POST "$KUBE/namespaces/acme/confluxsources" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "ConfluxSource", "metadata": {"name": "deaf"},
	"spec": {"url": "https://'"$HANGS"'/repo.git", "interval": "1h"}}'
yes 201
curl -s --limit-rate 10k -X POST -H "Authorization: Bearer $TOKEN" "$URL/_cluster/backup" \
	-o "$WORK/backup" &
until_ok test -s "$WORK/backup"
until_ok compgen -G "$WORK/kept/*.backup"
both_came() { [ "$(wc -l <"$WORK/came")" -ge 2 ]; }
until_ok both_came
ends "$DAEMON" "$WORK/daemon.log"
DAEMON=

step "one without the others: writes that it held for their clients, who have gone"
declare -A PID HTTP RAFT
for n in 1 2 3; do RAFT[$n]=127.0.0.1:$(free_port); done
for n in 1 2 3; do
	BIN=$CONFLUX_BIN
	[ $n != 1 ] || BIN=$TEST_BUILD
	"$BIN/confluxd" --data-dir "$WORK/n$n" --node-id $n --listen 127.0.0.1:0 \
		--raft-listen "${RAFT[$n]}" --cluster-hold 60s --server-drain-timeout 1s \
		--peers "1=${RAFT[1]},2=${RAFT[2]},3=${RAFT[3]}" 2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
done
for n in 1 2 3; do
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
	until_ok ready $n
done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
until_ok curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[1]}/api/v1/whoami"
end_node 2 KILL
end_node 3 KILL
put() { curl -s -m "$1" -o /dev/null -H "Authorization: Bearer $TOKEN" -X POST \
	"${HTTP[1]}/apis/gitops.conflux.io/v1alpha1/tenants" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "'"$2"'"}}'; }
# One that led does not know at once.
nobody_leads() { [ "$(curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[1]}/api/v1/status" |
	jq .leader_id)" = 0 ]; }
until_ok nobody_leads
# Some have given up by the time it ends, the others are there.
GONE=
for i in 6 7 8; do put 120 "t$i" & done
for i in 1 2 3 4 5; do put 1 "t$i" & GONE="$GONE $!"; done
# shellcheck disable=SC2086
for pid in $GONE; do
	RC=0
	wait $pid || RC=$?
	is "$RC" 28 "a write that nobody can do was answered; its client's exit code"
done
ends "${PID[1]}" "$WORK/daemon1.log"
