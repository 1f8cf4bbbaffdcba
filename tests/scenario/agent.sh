#!/usr/bin/env bash
# conflux-agent: files as their configurations are, and what the cluster hears of it.
. "$(dirname "$0")/lib.bash"
start_daemon
make_tenant acme
make_config app.conf "one"
ID=$(field .id)
ask POST "$URL/api/v1/tokens" -d '{"name": "agent", "read_only": true}'
yes 201
field .token >"$WORK/token"
mkdir "$WORK/etc"
FILE=$WORK/etc/app.conf
cat >"$WORK/agent.yaml" <<YAML
endpoints: [$URL]
token_file: $WORK/token
state_dir: $WORK/state
instance: web-1
applications:
- tenant: acme
  application: shop
  environment: prod
  files:
  - config: app.conf
    path: $FILE
    mode: "0600"
    check: [sh, -c, 'if grep -q broken "\$1"; then echo it is broken; exit 1; fi', sh, "{}"]
    reload: [sh, -c, 'cat "\$CONFLUX_FILE" >>$WORK/told; ! grep -q refuse "\$CONFLUX_FILE"']
YAML

once() {
	"$CONFLUX_BIN/conflux-agent" --config "$1" --once 2>>"$WORK/agent.log"
}
AGENT=
STARTED_BY=()
start_agent() {
	"${STARTED_BY[@]}" "$CONFLUX_BIN/conflux-agent" --config "$WORK/agent.yaml" "$@" \
		2>>"$WORK/agent.log" &
	AGENT=$!
}
stop_agent() {
	kill "-${1:-TERM}" "$AGENT"
	wait "$AGENT" 2>/dev/null || true
	AGENT=
}
end_agent() {
	status=$?
	[ $status = 0 ] || tail -n 20 "$WORK/agent.log" >&2
	[ -z "$AGENT" ] || kill -9 "$AGENT" 2>/dev/null || true
	cleanup
	return $status
}
trap end_agent EXIT
publish() {
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" \
		-d "$(jq -n --arg c "$1" '{content: $c}')"
	yes 200
}
holds() { [ "$(cat "$FILE" 2>/dev/null)" = "$1" ]; }
# The state that the cluster has heard of, of a version; KEY= of one configuration.
heard() {
	curl -sf -H "Authorization: Bearer $TOKEN" "$URL/api/v1/instances?key=${KEY:-}" |
		jq -e --arg s "$1" --argjson v "$2" '.instances[] | select(.instance ==
			"web-1" and .state == $s and .version == $v)'
}

step "settings are checked, and what is wrong is said with its place"
"$CONFLUX_BIN/conflux-agent" --config "$WORK/agent.yaml" --check-config
sed 's/mode:/mod:/' "$WORK/agent.yaml" >"$WORK/wrong.yaml"
if "$CONFLUX_BIN/conflux-agent" --config "$WORK/wrong.yaml" 2>"$WORK/said"; then
	fail "a wrong setting was taken"
fi
has "$(cat "$WORK/said")" "line 12: mod is not known"

step "once: the file is there, and the end says so"
once "$WORK/agent.yaml" || fail "not applied"
holds one || fail "the file holds: $(cat "$FILE")"
is "$(stat -c %a "$FILE")" 600 mode
heard applied 1 >/dev/null || fail "it ended before the cluster had heard"
sed 's/app.conf/none.conf/' "$WORK/agent.yaml" >"$WORK/none.yaml"
if once "$WORK/none.yaml"; then
	fail "a configuration that is not there was applied"
fi

step "a publish becomes the file, the program is told, and the cluster hears"
# By one that ignores how its children end: that is inherited.
STARTED_BY=(python3 -c 'import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])')
start_agent
STARTED_BY=()
until_ok heard applied 1
publish two
until_ok holds two
until_ok heard applied 2
is "$(cat "$WORK/told")" "onetwo" "what the program was told"

step "a second agent with the same state is refused"
if "$CONFLUX_BIN/conflux-agent" --config "$WORK/agent.yaml" 2>"$WORK/said"; then
	fail "two agents share a state_dir"
fi
has "$(cat "$WORK/said")" "another conflux-agent uses the state_dir $WORK/state"

step "what the check refuses is never there, and the cluster hears why"
publish "broken"
until_ok heard rejected 3
has "$(heard rejected 3)" "it is broken"
holds two || fail "the file holds: $(cat "$FILE")"

step "what the program refuses is taken back"
publish "refuse"
until_ok heard rejected 4
holds two || fail "the file holds: $(cat "$FILE")"
has "$(cat "$WORK/told")" "refusetwo"

step "an agent that is killed goes on; what came meanwhile is applied"
stop_agent KILL
publish five
start_agent
until_ok holds five
until_ok heard applied 5

step "without any server an agent starts from what it knew, and mends the file"
stop_agent
stop_daemon
echo mine >"$FILE"
start_agent
until_ok holds five
stop_agent

step "killed again and again while versions come, the file is one of them, whole"
LISTEN=${URL#http://} start_daemon
big() { printf "%0100000d$1" 0; }
for i in 1 2 3 4 5 6; do
	start_agent
	publish "$(big "$i")"
	sleep "0.0$i"          # wherever it is then
	stop_agent KILL
	content=$(cat "$FILE")
	[ "$content" = five ] || [ ${#content} = 100001 ] ||
		fail "${#content} bytes are neither the old nor the new one"
done
start_agent
is_last() { [ "$(tail -c 1 "$FILE")" = 6 ]; }
until_ok is_last
until_ok heard applied 11
stop_agent
[ -z "$(find "$WORK/etc" -name '.*conflux*')" ] || fail "a candidate is left"

step "content is the file byte for byte, of JSON too, and the program is told once"
TEXT=$'\n {"a": 1}\n'
make_config app.json "$TEXT" json
yes 201
ID=$(field .id)
FILE=$WORK/etc/app.json
sed -e 's/app\.conf/app.json/' -e '/check:/d' \
	-e "s|reload:.*|reload: [sh, -c, 'echo >>$WORK/json.told']|" \
	"$WORK/agent.yaml" >"$WORK/json.yaml"
once "$WORK/json.yaml" || fail "not applied"
once "$WORK/json.yaml" || fail "not kept"
printf '%s' "$TEXT" | cmp - "$FILE"
is "$(wc -l <"$WORK/json.told")" 1 "how often the program was told"

step "a program that is yet to start finds its file, and is told when it is there"
make_config late.conf "one"
yes 201
LATE=$(field .id) KEY=acme/shop/prod/late.conf
FILE=$WORK/etc/late.conf
sed -e "s/app\\.conf/late.conf/" -e '/check:/d' \
	-e "s|reload:.*|signal: {name: USR1, pid_file: $WORK/late.pid}|" \
	"$WORK/agent.yaml" >"$WORK/late.yaml"
"$CONFLUX_BIN/conflux-agent" --config "$WORK/late.yaml" 2>"$WORK/late.log" &
AGENT=$!
until_ok holds one
until_ok heard rejected 1
has "$(heard rejected 1)" "pid_file"
(
	trap 'echo told >>"$WORK/late.told"' USR1
	trap 'exit 0' TERM
	echo "$BASHPID" >"$WORK/late.pid"
	while :; do sleep 0.05; done
) &
LATE_PID=$!
until_ok test -s "$WORK/late.pid"
kill -HUP "$AGENT"
until_ok heard applied 1
until_ok test -s "$WORK/late.told"

step "a program that is gone: its file stays as it is, and the cluster hears why"
kill -TERM "$LATE_PID"
wait "$LATE_PID" || true
is_at=$(stat -c %i "$FILE")
ID=$LATE publish two
until_ok heard rejected 2
has "$(heard rejected 2)" "No such process"
kill -HUP "$AGENT"
until_ok eval '[ "$(grep -c "is tried again in 10 s: signal: process" "$WORK/late.log")" -ge 2 ]'
holds one || fail "the file holds: $(cat "$FILE")"
is "$(stat -c %i "$FILE")" "$is_at" "the file was replaced meanwhile: its place"
stop_agent
FILE=$WORK/etc/app.json KEY=

step "an agent that ends while a command runs has not judged"
publish '{"a": 2}'
sed -e "s|reload:.*|check: [sh, -c, 'touch $WORK/asked; exec sleep 1000']|" \
	-e '/check:/a\    timeout: 10m' "$WORK/json.yaml" >"$WORK/slow.yaml"
"$CONFLUX_BIN/conflux-agent" --config "$WORK/slow.yaml" 2>>"$WORK/agent.log" &
AGENT=$!
until_ok test -e "$WORK/asked"
SECONDS=0
stop_agent
[ "$SECONDS" -lt 60 ] || fail "it ended after $SECONDS s"
once "$WORK/json.yaml" || fail "what was not judged was not tried again"
holds '{"a": 2}' || fail "the file holds: $(cat "$FILE")"

step "nor has one that ends while its program is being told"
publish '{"a": 3}'
sed -e "s|reload:.*|reload: [sh, -c, 'touch $WORK/telling; exec sleep 1000']|" \
	-e '/reload:/a\    timeout: 10m' "$WORK/json.yaml" >"$WORK/slow.yaml"
"$CONFLUX_BIN/conflux-agent" --config "$WORK/slow.yaml" 2>>"$WORK/agent.log" &
AGENT=$!
until_ok test -e "$WORK/telling"
SECONDS=0
stop_agent
[ "$SECONDS" -lt 60 ] || fail "it ended after $SECONDS s"
holds '{"a": 3}' || fail "it was taken back: $(cat "$FILE")"
TOLD=$(wc -l <"$WORK/json.told")
once "$WORK/json.yaml" || fail "what was not judged was not tried again"
holds '{"a": 3}' || fail "the file holds: $(cat "$FILE")"
is "$(wc -l <"$WORK/json.told")" $((TOLD + 1)) "how often the program was told"
