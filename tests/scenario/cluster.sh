#!/usr/bin/env bash
# Three nodes: writes at any of them, the leader killed under load, a push that
# goes on, one root token, a node that comes back.
. "$(dirname "$0")/lib.bash"
with_tsan

NODES="1 2 3"
declare -A PID HTTP

PEERS=
for n in $NODES; do PEERS=$PEERS,$n=127.0.0.1:$(free_port); done
PEERS=${PEERS#,}

raft_address() { sed "s/.*\b$1=\([^,]*\).*/\1/" <<<"$PEERS"; }
start_node() {
	local n=$1
	rm -f "$WORK/n$n/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$WORK/n$n" --listen 127.0.0.1:0 \
		--node-id "$n" --raft-listen "$(raft_address "$n")" \
		--peers "$PEERS" --sources-file-roots "$WORK" --cluster-hold "${HOLD:-20s}" \
		2>>"$WORK/daemon$n.log" &
	PID[$n]=$!
	until_ok test -s "$WORK/n$n/confluxd.listen"
	HTTP[$n]=http://$(cat "$WORK/n$n/confluxd.listen")
}
kill_node() {
	kill -"${2:-KILL}" "${PID[$1]}"
	wait "${PID[$1]}" 2>/dev/null || true
	unset "PID[$1]"
}
leader_seen_by() {
	curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/api/v1/status" |
		jq -r .leader_id
}
# Some node that is not $1.
other() { for n in "${!PID[@]}"; do [ "$n" = "$1" ] || { echo "$n"; return; }; done; }
fail_hook() { tail -n 15 "$WORK"/daemon?.log >&2; }
trap 'rc=$?; [ $rc = 0 ] || fail_hook; cleanup' EXIT

step "three nodes form a cluster by themselves, with one root token"
for n in $NODES; do start_node "$n"; done
for n in $NODES; do until_ok ready "$n"; done
until_ok one_token
TOKEN=$(cat "$WORK"/n*/root.token)
export CONFLUX_TOKEN=$TOKEN
LEADER=$(leader_seen_by 1)
for n in $NODES; do
	is "$(leader_seen_by "$n")" "$LEADER" "leader as seen by $n"
	at "$n"
	ask GET "$URL/api/v1/status"
	yes 200
done

step "a write at any node is read at that node at once, and soon at the others"
at "$LEADER"
make_tenant acme
for n in $NODES; do
	at "$n"
	make_config "c$n.txt" "by $n"
	yes 201
	ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c$n.txt"
	yes 200
	is "$BODY" "by $n" "read at $n"
done
ask GET "$URL/api/v1/status"
REV=$(field .revision)
reached() {
	[ "$(curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/api/v1/status" |
		jq .revision)" -ge "$REV" ]
}
for n in $NODES; do until_ok reached "$n"; done
for n in $NODES; do
	at "$n"
	ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c2.txt"
	is "$BODY" "by 2" "read at $n"
done

step "a refusal comes through, and the same key happens once at whatever node"
F=$(other "$LEADER")
at "$F"
make_config c1.txt again
yes 409
ask GET "$URL/api/v1/mgt/configs?address=acme/shop/prod/c1.txt"
ID=$(field .id)
for n in $NODES; do
	at "$n"
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H "Idempotency-Key: once" \
		-d '{"content": "keyed"}'
	yes 200
	is "$(field .version_id)" 2 "version at $n"
done

step "a linearizable read at any node sees what was written at another"
for i in $(seq 1 10); do
	at "$LEADER"
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "lin '"$i"'"}'
	yes 200
	for n in $NODES; do
		at "$n"
		ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c1.txt?consistency=linearizable"
		is "$BODY" "lin $i" "linearizable at $n"
	done
done

step "a port that is taken is told, and ends it"
if timeout 20 "$CONFLUX_BIN/confluxd" --data-dir "$WORK/n9" --listen 127.0.0.1:0 \
	--node-id 1 --raft-listen "$(raft_address 1)" --peers "$PEERS" \
	2>"$WORK/taken.log"; then
	fail "it started"
else
	is "$?" 7 "exit code of a taken port"
fi
has "$(cat "$WORK/taken.log")" "$(raft_address 1)"

step "a push is reconciled by the leader, asked for at a follower"
# A machine where nobody has told git who he is.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
	GIT_AUTHOR_NAME=Ada GIT_COMMITTER_NAME=Ada \
	GIT_AUTHOR_EMAIL=ada@shop.example GIT_COMMITTER_EMAIL=ada@shop.example
git init -q --bare -b main "$WORK/repo.git"
git clone -q "$WORK/repo.git" "$WORK/repo" 2>/dev/null
cd "$WORK/repo"
git checkout -q -B main
mkdir -p web/prod && echo one >web/prod/a.txt
git add . && git commit -qm one && git push -q origin HEAD:main
ask POST "$KUBE/namespaces/acme/confluxsources" -d '{"kind": "ConfluxSource",
	"apiVersion": "gitops.conflux.io/v1alpha1", "metadata": {"name": "web"},
	"spec": {"url": "file://'"$WORK"'/repo.git", "ref": {"branch": "main"},
	"interval": "1h", "layout": {"files":
	{"pathTemplate": "{application}/{environment}/{name}"}}}}'
yes 201
F=$(other "$LEADER")
at "$F"
ask POST "$URL/api/v1/sources/acme/web/reconcile?wait=true"
yes 200
ask GET "$URL/api/v1/fetch/config/acme/web/prod/a.txt"
is "$BODY" one "after the reconcile at the follower"

step "a watch at a follower, and the leader killed under load"
curl -sN -H "Authorization: Bearer $TOKEN" "${HTTP[$F]}/api/v1/watch?prefix=acme/" \
	>"$WORK/events" &
WATCH=$!
: >"$WORK/acked"
publish_on() {
	local i=0 code
	while [ ! -e "$WORK/enough" ]; do
		i=$((i + 1))
		code=$(curl -s -o "$WORK/answer.$1" -w '%{http_code}' -X POST \
			-H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $1-$i" \
			-d "{\"content\": \"$1-$i\"}" \
			"${HTTP[$1]}/api/v1/mgt/configs/$ID/publish") || true
		[ "$code" != 200 ] ||
			printf '%s-%s %s\n' "$1" "$i" "$(jq .version_id "$WORK/answer.$1")" >>"$WORK/acked"
	done
}
publish_on "$F" &
LOAD=$!
acked() { [ "$(wc -l <"$WORK/acked")" -ge "$1" ]; }
until_ok acked 20
OLD=$LEADER
kill_node "$OLD"
new_leader() {
	LEADER=$(leader_seen_by "$F")
	[ "$LEADER" != 0 ] && [ "$LEADER" != "$OLD" ]
}
until_ok new_leader
LEADER=$(leader_seen_by "$F")
until_ok acked $(($(wc -l <"$WORK/acked") + 20))
touch "$WORK/enough"
wait "$LOAD"

step "nothing acknowledged is lost, versions are given once, the watch went on"
at "$F"
for v in $(awk '{ print $2 }' "$WORK/acked"); do echo "$v"; done | sort -n >"$WORK/versions"
is "$(uniq -d "$WORK/versions" | wc -l)" 0 "versions given twice"
LAST=$(tail -n 1 "$WORK/versions")
ask GET "$URL/api/v1/mgt/configs/$ID/versions?limit=1"
[ "$(field '.versions[0].version_id')" -ge "$LAST" ] || fail "version $LAST is gone"
watched() { grep -q "\"version\":$LAST," "$WORK/events"; }
until_ok watched
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true valid

step "the next push goes on"
echo two >web/prod/a.txt
git commit -qam two && git push -q origin HEAD:main
reconciled() {
	ask POST "$URL/api/v1/sources/acme/web/reconcile?wait=true"
	[ "$STATUS" = 200 ]
}
until_ok reconciled
ask GET "$URL/api/v1/fetch/config/acme/web/prod/a.txt"
is "$BODY" two "after the push"

step "the killed node comes back and has everything"
ask GET "$URL/api/v1/status"
REV=$(field .revision)
start_node "$OLD"
until_ok ready "$OLD"
until_ok reached "$OLD"
at "$OLD"
ask GET "$URL/api/v1/fetch/config/acme/web/prod/a.txt"
is "$BODY" two "at the node that was killed"
chain() { curl -sf -H "Authorization: Bearer $TOKEN" "${HTTP[$1]}/api/v1/audit/verify" | jq -r .head; }
for n in $NODES; do until_ok eval "[ \"\$(chain $n)\" = \"\$(chain $F)\" ]"; done

step "a write without a key is sent again when the leader dies under it, and done once"
leads() { LEADER=$(leader_seen_by "$F") && [ "$LEADER" != 0 ] && [ -n "${PID[$LEADER]:-}" ]; }
until_ok leads
F=$(other "$LEADER")
OLD=$LEADER
at "$F"
ask GET "$URL/api/v1/mgt/configs/$ID/versions?limit=1"
LAST=$(field '.versions[0].version_id')
kill -STOP "${PID[$OLD]}"
curl -s -o "$WORK/keyless" -w '%{http_code}' -X POST -d '{"content": "no key"}' \
	-H "Authorization: Bearer $TOKEN" \
	"$URL/api/v1/mgt/configs/$ID/publish" >"$WORK/keyless.code" &
WRITE=$!
until_ok new_leader
kill_node "$OLD"
wait "$WRITE"
is "$(cat "$WORK/keyless.code")" 200 "status; $(cat "$WORK/keyless")"
ask GET "$URL/api/v1/mgt/configs/$ID/versions?limit=1"
is "$(field '.versions[0].version_id')" $((LAST + 1)) "versions"
# What it holds from now on is held in vain.
HOLD=2s start_node "$OLD"
until_ok ready "$OLD"

step "without a majority nothing is written, and reads go on"
kill "$WATCH" 2>/dev/null || true
F=$OLD
for n in $NODES; do [ "$n" = "$F" ] || kill_node "$n"; done
at "$F"
until_ok eval '[ "$(leader_seen_by '"$F"')" = 0 ]'
make_config late.txt x
yes 503
ask GET "$URL/api/v1/fetch/config/acme/web/prod/a.txt"
is "$BODY" two "without a majority"
ask GET "$URL/api/v1/fetch/config/acme/web/prod/a.txt?consistency=linearizable"
yes 503
kill_node "$F" TERM
