#!/usr/bin/env bash
# The main job of Conflux in a minute: a push to a Git repository becomes live
# configuration.  `make demo` runs it with the programs just built.
#
# Everything lies in a folder of its own that goes with the demo; nothing is
# left running.  Each line of the summary was checked; the exit status says
# whether all of them held.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=${CONFLUX_BIN:?the folder of confluxd and conflux}
work=$(mktemp -d "${TMPDIR:-/tmp}/conflux-demo.XXXXXX")
daemon= watcher=
summary=() failed=0

bold= dim= plain=
[ ! -t 1 ] || bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'

cleanup() {
	[ -z "$watcher" ] || kill "$watcher" 2>/dev/null
	[ -z "$daemon" ] || kill "$daemon" 2>/dev/null
	wait 2>/dev/null
	[ -z "$daemon" ] || soon gone "$daemon"
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
# Asks every 10 ms, for at most 20 s.
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
start() {
	rm -f "$work/data/confluxd.listen"
	"$bin/confluxd" --data-dir "$work/data" --listen 127.0.0.1:0 \
		--sources-file-roots "$work" 2>>"$work/daemon.log" &
	daemon=$!
	disown "$daemon"
	soon test -s "$work/data/confluxd.listen" || die "confluxd did not start"
	CONFLUX_SERVER=http://$(cat "$work/data/confluxd.listen")
	CONFLUX_TOKEN=$(cat "$work/data/root.token")
	export CONFLUX_SERVER CONFLUX_TOKEN
}
watch_from() {
	# The program itself and no subshell, which would leave it behind.
	"$bin/conflux" watch --prefix acme/ "$@" >"$work/events" \
		2>"$work/watch.log" &
	watcher=$!
	soon grep -q "watching after" "$work/watch.log" || die "no watch"
}
events() { [ "$(wc -l <"$work/events")" -ge "$1" ]; }
fetch() { conflux fetch "acme/$1"; }
# "version" of the document that conflux get prints, and the like.
is() { [ "$1" = "$2" ]; }
holds() { case $1 in *"$2"*) ;; *) return 1 ;; esac; }
commit() { git commit -qam "$1" && git push -q origin HEAD:main; }
revision() { conflux status | sed -n 's/^revision  *//p'; }
records() { conflux audit verify | sed -n 's/ records.*//p'; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=Ada GIT_COMMITTER_NAME=Ada \
	GIT_AUTHOR_EMAIL=ada@shop.example GIT_COMMITTER_EMAIL=ada@shop.example

title "1. A daemon, a Git repository, and a source that follows it"
start
printf '  confluxd listens on %s\n' "${CONFLUX_SERVER#http://}"
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
before=$(revision)
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
check "no reader saw a part: the revisions are one command's" \
	is "$(tail -n +2 "$work/events" | sed 's/.*revision \([0-9]*\).*/\1/' |
		tr '\n' ' ')" "$(seq -s ' ' $((before + 1)) $((before + 5))) "

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

title "6. kill -9"
at=$(revision)
audited=$(records)
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
watcher=
sed -i 's/pool_size = .*/pool_size = 46/' shop/production/database.toml
commit "46 connections"
conflux reconcile acme/shop >/dev/null
kill -KILL "$daemon"
soon gone "$daemon" || die "confluxd outlived SIGKILL"
printf '  confluxd is killed right after a change; it starts again\n'
start
show conflux status
check "state goes on" holds "$(fetch shop/production/database.toml)" "pool_size = 46"
watch_from --since "$at"
soon events 1
sed 's/^/    /' "$work/events"
check "a watch goes on where it was before the kill" \
	holds "$(cat "$work/events")" "shop/production/database.toml"
show conflux audit verify
check "the audit chain holds, with all records from before" \
	test "$(records)" -gt "$audited"

kill "$watcher" && wait "$watcher" 2>/dev/null
watcher=
kill -TERM "$daemon"
soon gone "$daemon"
check "nothing is left running" \
	is "$(pgrep -f "^$bin/conflux.*($work|watch --prefix acme/)" | wc -l)" 0
daemon=

title "Summary"
printf '%s\n' "${summary[@]}"
if [ $failed = 0 ]; then
	printf '\nAll %d held.\n' "${#summary[@]}"
else
	printf '\nNot all held.\n'
fi
exit $failed
