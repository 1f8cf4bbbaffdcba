#!/usr/bin/env bash
# kill -9 under load, again and again: nothing acknowledged is lost, retries with
# the same key happen once, the audit chain holds.
. "$(dirname "$0")/lib.bash"
start_daemon --storage-checkpoint-log 1MiB
make_tenant acme
make_config c.txt 0
yes 201
ID=$(field .id)

# Publishes 1, 2, 3, ... until there is no answer; acknowledged ones and their
# versions go to $WORK/acked.
publish_until_killed() {
	local n=$1
	while :; do
		n=$((n + 1))
		curl -s -f -X POST -H "Authorization: Bearer $TOKEN" \
			-H "Idempotency-Key: k$n" -d "{\"content\": \"$n\"}" \
			"$URL/api/v1/mgt/configs/$ID/publish" >"$WORK/answer" || break
		printf '%s %s\n' "$n" "$(jq .version_id "$WORK/answer")" >>"$WORK/acked"
	done
}
acked() { tail -n 1 "$WORK/acked"; }
: >"$WORK/acked"
LAST=0
for round in 1 2 3 4 5 6; do
	step "round $round: killed under load after $LAST"
	publish_until_killed "$LAST" &
	P=$!
	WANT=$((LAST + 15 * round))
	until_ok eval '[ "$(wc -l <"$WORK/acked")" -ge '"$WANT"' ]'
	stop_daemon KILL
	wait "$P" || true
	read -r N VERSION <<<"$(acked)"
	start_daemon --storage-checkpoint-log 1MiB
	ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c.txt"
	yes 200
	GOT=$BODY
	# The one that was under way may have happened.
	[ "$GOT" = "$N" ] || [ "$GOT" = $((N + 1)) ] ||
		fail "$N was acknowledged, $GOT is live"
	step "  what was under way is sent again with its key: it happens once"
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" \
		-H "Idempotency-Key: k$((N + 1))" -d "{\"content\": \"$((N + 1))\"}"
	yes 200
	is "$(field .version_id)" $((VERSION + 1)) "version"
	printf '%s %s\n' $((N + 1)) $((VERSION + 1)) >>"$WORK/acked"
	LAST=$((N + 1))
	ask GET "$URL/api/v1/audit/verify"
	is "$(field .valid)" true valid
done
is "$(wc -l <"$WORK/acked")" "$LAST" "acknowledged publishes"
stop_daemon
