#!/usr/bin/env bash
# The main job of Conflux in a minute: a push to a Git repository becomes live
# configuration, in a cluster of three nodes that loses its leader on the way.
# `make demo` runs it with the programs just built.
#
# Everything lies in a folder of its own that goes with the demo; nothing is
# left running.  Each line of the summary was checked; the exit status says
# whether all of them held.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=${CONFLUX_BIN:?the folder of confluxd and conflux}
work=$(mktemp -d "${TMPDIR:-/tmp}/conflux-demo.XXXXXX")
declare -A pid server               # of each node that runs
agents=()                           # processes
watcher= peers= via= leader=
summary=() failed=0

bold= dim= plain=
[ ! -t 1 ] || bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'

cleanup() {
	[ -z "$watcher" ] || kill "$watcher" 2>/dev/null
	stop_agents
	stop_all
	wait 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# Shows a command and what it prints.
show() {
	printf '%s  $ %s%s\n' "$dim" "$*" "$plain"
	"$@" 2>&1 | sed 's/^/    /'
	return "${PIPESTATUS[0]}"
}
# check "what is claimed" command...: one line of the summary.
check() {
	local what=$1
	shift
	if "$@" >/dev/null 2>&1; then
		summary+=("  ok      $what")
	else
		summary+=("  FAILED  $what")
		printf '  FAILED: %s\n' "$what"
		failed=1
	fi
}
# What cannot go on ends the demo.
die() {
	printf 'demo: %s\n' "$*" >&2
	[ ! -f "$work/daemon.log" ] || tail -n 20 "$work/daemon.log" >&2
	exit 1
}
# Asks every 10 ms, for 20 s and what the asking takes.
soon() {
	local n=0
	until "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 2000 ] || return 1
		sleep 0.01
	done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

conflux() { "$bin/conflux" "$@"; }
# A port that nobody listens on.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}
start() {
	local n=$1
	rm -f "$work/n$n/confluxd.listen"
	"$bin/confluxd" --data-dir "$work/n$n" --listen 127.0.0.1:0 --node-id "$n" \
		--raft-listen "$(sed "s/.*\b$n=\([^,]*\).*/\1/" <<<"$peers")" \
		--peers "$peers" --sources-file-roots "$work" \
		2>>"$work/daemon.log" &
	pid[$n]=$!
	disown "${pid[$n]}"
	soon test -s "$work/n$n/confluxd.listen" || die "node $n did not start"
	server[$n]=http://$(cat "$work/n$n/confluxd.listen")
}
stop_all() {
	local n
	for n in "${!pid[@]}"; do kill "${pid[$n]}" 2>/dev/null; done
	for n in "${!pid[@]}"; do soon gone "${pid[$n]}"; done
	pid=()
}
# An agent, as one would run beside a program on each machine: it keeps a file, and
# takes no version that waits for longer than 9 seconds.
start_agent() {
	cat >"$work/$1.yaml" <<-EOF
	endpoints: [${server[1]}, ${server[2]}, ${server[3]}]
	token_file: $(token_file)
	state_dir: $work/$1
	instance: $1
	applications:
	- tenant: acme
	  application: shop
	  environment: production
	  files:
	  - config: routes.yaml
	    path: $work/$1.routes
	    check: [sh, -c, 'if grep -q "timeout: [0-9][0-9]s" {}; then echo timeout is too long; false; fi']
	EOF
	"$bin/conflux-agent" --config "$work/$1.yaml" 2>>"$work/agents.log" &
	agents+=($!)
	disown $!
}
stop_agents() {
	local a
	for a in "${agents[@]}"; do kill "$a" 2>/dev/null; done
	for a in "${agents[@]}"; do soon gone "$a"; done
	agents=()
}
# How many of the agents' files have that in them.
files_with() { grep -l "$1" "$work"/web-?.routes 2>/dev/null | wc -l; }
some_have() { [ "$(files_with "$1")" -ge 1 ]; }
all_have() { [ "$(files_with "$1")" = 4 ]; }
newest_release() { conflux release list -n acme -o name | head -n 1; }
release_began() { release_is Progressing || release_is Completed; }
release_is() { holds "$(conflux release show "$(newest_release)")" "$1"; }
ready() { curl -sf "${server[$1]}/readyz"; }
status_of() { CONFLUX_SERVER=${server[$1]} conflux status | sed -n "s/^$2  *//p"; }
token_file() { ls "$work"/n*/root.token; }
# One that each node knows: the file is written first, and may be that of a node whose
# token was not taken.
one_token() {
	local n token
	[ "$(token_file | wc -l)" = 1 ] && token=$(cat "$(token_file)") || return 1
	for n in 1 2 3; do
		curl -sf -H "Authorization: Bearer $token" "${server[$n]}/api/v1/whoami" || return 1
	done
}
# The leader as node $1 knows it; fails where there is none.
find_leader() {
	leader=$(status_of "$1" leader_id)
	[ "${leader:-0}" != 0 ] && [ "$leader" != "${2:-}" ]
}
watch_from() {
	rm -f "$work/events" "$work/watch.log"
	# The program itself and no subshell, which would leave it behind.
	"$bin/conflux" watch --prefix acme/ "$@" >"$work/events" \
		2>"$work/watch.log" &
	watcher=$!
	soon grep -q "watching after" "$work/watch.log" || die "no watch"
}
# Events behind revision $1.
events_after() {
	awk -v at="$1" '{ for (i = 1; i < NF; i++)
		if ($i == "revision" && $(i + 1) + 0 > at) print }' "$work/events"
}
newer() { [ "$(events_after "$at" | wc -l)" -ge "$1" ]; }
events() { [ "$(wc -l <"$work/events")" -ge "$1" ]; }
fetch() { conflux fetch "acme/$1"; }
# "version" of the document that conflux get prints, and the like.
is() { [ "$1" = "$2" ]; }
refused() { ! "$@"; }
holds() { case $1 in *"$2"*) ;; *) return 1 ;; esac; }
commit() { git commit -qam "$1" && git push -q origin HEAD:main; }
revision() { conflux status | sed -n 's/^revision  *//p'; }
records() { conflux audit verify | sed -n 's/ records.*//p'; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=Ada GIT_COMMITTER_NAME=Ada \
	GIT_AUTHOR_EMAIL=ada@shop.example GIT_COMMITTER_EMAIL=ada@shop.example

title "1. Three nodes, a Git repository, and a source that follows it"
for n in 1 2 3; do peers=$peers,$n=127.0.0.1:$(free_port); done
peers=${peers#,}
for n in 1 2 3; do start $n; done
for n in 1 2 3; do soon ready $n || die "node $n is not ready"; done
soon one_token || die "there is no root token, or more than one"
CONFLUX_TOKEN=$(cat "$(token_file)")
export CONFLUX_TOKEN
soon find_leader 1 || die "nobody leads"
# Everything is asked for at a node that does not lead: it passes on what only
# the leader can do.
via=$((leader % 3 + 1))
export CONFLUX_SERVER=${server[$via]}
printf '  node %s leads; the demo talks to node %s\n' "$leader" "$via"
git init -q --bare -b main "$work/shop.git" &&
	git init -q -b main "$work/repo" && cd "$work/repo" &&
	git remote add origin "$work/shop.git" &&
	cp -r "$here/repo/." . && git add . && git commit -qm "The shop's configuration" &&
	git push -q origin HEAD:main || die "the repository could not be made"
sed "s|URL|file://$work/shop.git|" "$here/source.yaml" >"$work/source.yaml"
show conflux apply -f "$work/source.yaml" || die "the source was refused"
show conflux reconcile acme/shop || die "the source did not become live"
show conflux get sources -n acme
show conflux get configs -n acme
check "the repository is live: 6 configurations" \
	is "$(conflux get configs -n acme -o name | wc -l)" 6
check "a fetch answers the committed bytes" \
	cmp <(fetch shop/production/database.toml) shop/production/database.toml

title "2. A push that changes one value in one file, and who watches it"
watch_from
sed -i 's/pool_size = 20/pool_size = 40/' shop/production/database.toml
git commit -qam "More connections for the evening"
pushed=$(date +%s%N)
git push -q origin HEAD:main
conflux reconcile acme/shop --no-wait >/dev/null
soon events 1 || printf '  the watcher heard nothing\n'
sed 's/^/    /' "$work/events"
heard=$(date -d "$(cut -d' ' -f1 "$work/events" | head -n 1)" +%s%N)
took=$(((heard - pushed) / 1000000))
printf '  from git push to the watcher: %s%d ms%s\n' "$bold" "$took" "$plain"
check "the watcher got the change of one file ($took ms after git push began)" \
	holds "$(cat "$work/events")" "acme/shop/production/database.toml  version 2"
check "the change is live" holds "$(fetch shop/production/database.toml)" "pool_size = 40"

title "3. One push, five configurations, one moment"
sed -i 's/pool_size = .*/pool_size = 50/' shop/*/database.toml
sed -i 's/"express": true/"express": false/' shop/production/features.json
sed -i 's/timeout: 2s/timeout: 3s/' shop/production/routes.yaml
echo "Closed on Sunday." >shop/production/banner.txt
commit "Sunday"
show conflux reconcile acme/shop
soon events 6
tail -n +2 "$work/events" | sed 's/^/    /'
check "five configurations became visible with one command, the fifth event says end" \
	is "$(tail -n +2 "$work/events" | awk '{ printf "%s ", $NF }' |
		sed 's/[0-9][0-9]*/-/g')" "- - - - end "
revisions=$(tail -n +2 "$work/events" | sed 's/.*revision \([0-9]*\).*/\1/' | tr '\n' ' ')
first=${revisions%% *}
check "no reader saw a part: the revisions are one command's" \
	is "$revisions" "$(seq -s ' ' "$first" $((first + 4))) "

title "4. A broken file stops the whole commit; what was live stays live"
printf '{"checkout": {"express": \n' >shop/production/features.json
echo "Everything is free." >shop/production/banner.txt
commit "Broken, and a banner that should not go out alone"
show conflux reconcile acme/shop
check "the reconcile was refused" is "$?" 4
show conflux get sources -n acme
check "the source says which file, line and why" \
	holds "$(conflux get sources -n acme -o yaml)" "shop/production/features.json: line 2"
check "the old values stay live" is "$(fetch shop/production/banner.txt)" "Closed on Sunday."
git revert --no-edit HEAD >/dev/null && git push -q origin HEAD:main
conflux reconcile acme/shop >/dev/null
check "a revert in Git repairs it" \
	holds "$(conflux get sources -n acme)" "True"

title "5. A rollback that the next reconcile does not undo"
show conflux rollback acme/shop/production/database.toml -m "50 is too many"
check "the rollback is live" holds "$(fetch shop/production/database.toml)" "pool_size = 40"
show conflux reconcile acme/shop
check "the next reconcile does not undo it" \
	holds "$(fetch shop/production/database.toml)" "pool_size = 40"
show conflux history acme/shop/production/database.toml
sed -i 's/pool_size = .*/pool_size = 45/' shop/production/database.toml
commit "45 connections"
conflux reconcile acme/shop >/dev/null
check "a new commit of that file goes out" \
	holds "$(fetch shop/production/database.toml)" "pool_size = 45"

title "6. A canary: one machine first, and back by itself where that one refuses"
cd "$here" && show conflux apply -f policies.yaml
cd "$work/repo" || exit 1
for n in 1 2 3 4; do start_agent "web-$n"; done
soon all_have "timeout: 3s"
check "four agents keep the file on their machines" all_have "timeout: 3s"
sed -i 's/timeout: .*/timeout: 5s/' shop/production/routes.yaml
commit "5 seconds"
conflux reconcile acme/shop >/dev/null
soon release_began
soon some_have "timeout: 5s"
show conflux fleet "$(newest_release)"
soon release_is Completed
show conflux release show "$(newest_release)"
check "web-1 took it, and so all got it" soon all_have "timeout: 5s"
sed -i 's/timeout: .*/timeout: 60s/' shop/production/routes.yaml
commit "A minute"
conflux reconcile acme/shop >/dev/null
soon release_is RolledBack
show conflux release show "$(newest_release)"
check "web-1 refused it, and the release turned back by itself" release_is RolledBack
check "no other machine ever had it" all_have "timeout: 5s"
show conflux reconcile acme/shop
check "the next reconcile does not bring it again" \
	holds "$(fetch shop/production/routes.yaml)" "timeout: 5s"
check "and names the release that turned back" \
	holds "$(conflux reconcile acme/shop)" "$(newest_release)"

title "7. A change that waits until somebody else agrees"
RUTH=$(conflux token create ruth --subject ruth@shop.example --group leads \
	--verb approve --tenant acme 2>/dev/null)
echo "Closed on Monday." >shop/production/banner.txt
commit "Monday"
show conflux reconcile acme/shop
show conflux proposals -n acme
proposal=$(conflux proposals -n acme -o name | head -n 1)
check "nothing is live before" is "$(fetch shop/production/banner.txt)" "Closed on Sunday."
check "who is not asked cannot agree" refused conflux approve "$proposal"
as_ruth() { CONFLUX_TOKEN=$RUTH "$@"; }
show as_ruth conflux approve "$proposal" -m "as agreed with the shop"
monday() { is "$(fetch shop/production/banner.txt)" "Closed on Monday."; }
check "with ruth's approval it is live" soon monday

title "8. kill -9 of the leader"
at=$(revision)
audited=$(records)
sed -i 's/pool_size = .*/pool_size = 46/' shop/production/database.toml
commit "46 connections"
conflux reconcile acme/shop >/dev/null
old=$leader
kill -KILL "${pid[$old]}"
killed=$(date +%s%N)
soon gone "${pid[$old]}" || die "node $old outlived SIGKILL"
unset "pid[$old]"
check "reads go on while nobody leads" \
	holds "$(fetch shop/production/database.toml)" "pool_size = 46"
soon find_leader "$via" "$old" || die "no new leader"
printf '  node %s is killed right after a change; node %s leads %d ms later\n' \
	"$old" "$leader" $((($(date +%s%N) - killed) / 1000000))
check "another node leads" test "$leader" != "$old"
sed -i 's/pool_size = .*/pool_size = 47/' shop/production/database.toml
commit "47 connections"
# Who has come to lead may be at it by himself, or yet to begin.
soon conflux reconcile acme/shop
show conflux reconcile acme/shop
check "the next push goes on" \
	holds "$(fetch shop/production/database.toml)" "pool_size = 47"
soon newer 2
events_after "$at" | sed 's/^/    /'
check "the watch went on: the change before the kill, and the one after it" \
	is "$(events_after "$at" |
		grep -c "acme/shop/production/database.toml")" 2
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
watcher=

title "9. The killed node comes back"
start "$old"
caught_up() { [ "$(status_of "$old" revision)" = "$(revision)" ]; }
soon caught_up
export CONFLUX_SERVER=${server[$old]}
show conflux status
check "it has what it missed" \
	holds "$(fetch shop/production/database.toml)" "pool_size = 47"
watch_from --since "$at"
soon events 2
sed 's/^/    /' "$work/events"
check "a watch goes on at it, from where it was before the kill" \
	is "$(grep -c "acme/shop/production/database.toml" "$work/events")" 2
show conflux audit verify
check "the audit chain holds, with all records from before" \
	test "$(records)" -gt "$audited"
one_chain() {
	[ "$(for n in 1 2 3; do
		CONFLUX_SERVER=${server[$n]} conflux audit verify | sed 's/.*head //'
	done | sort -u | wc -l)" = 1 ]
}
check "the three nodes have the same audit chain" soon one_chain

kill "$watcher" && wait "$watcher" 2>/dev/null
watcher=
stop_agents
stop_all
check "nothing is left running" \
	is "$(pgrep -f "^$bin/conflux.*($work|watch --prefix acme/)" | wc -l)" 0

title "Summary"
printf '%s\n' "${summary[@]}"
if [ $failed = 0 ]; then
	printf '\nAll %d held.\n' "${#summary[@]}"
else
	printf '\nNot all held.\n'
fi
exit $failed
