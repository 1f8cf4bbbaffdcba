#!/usr/bin/env bash
# Rules for a share of all instances and for instances by name, over the entrances that
# instances come by; and versions that are collected, where nothing names them.
. "$(dirname "$0")/lib.bash"
start_daemon
PATH=$CONFLUX_BIN:$PATH
make_tenant acme
KEY=acme/shop/prod/greeting.txt
version_five() { [ "$(curl -sf -H "Authorization: Bearer $CONFLUX_TOKEN" "$URL/_cluster/status" | jq .cluster_version)" = 5 ]; }
until_ok version_five

step "version 1 for everybody, version 2 for a share and for web-1"
make_config greeting.txt "hello"
yes 201
ID=$(field .id)
ask POST "$URL/api/v1/mgt/configs/$ID/versions" -d '{"content": "good day"}'
yes 201
rules() {
	ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [
		{"version_id": 2, "nodes": ["web-1"]},
		{"version_id": 2, "percent": '"$1"'}, {"version_id": 1}]}'
}
rules 33.333
yes 422
rules 101
yes 422
rules 25
yes 200
is "$(conflux fetch $KEY)" "hello" "who does not say who it is"
is "$(conflux fetch --instance web-1 $KEY)" "good day" "who is named"
in_share() { conflux resolve --instance "$1" -o json $KEY | jq -r '"\(.version_id) \((.bucket // 10000) < 2500)"'; }
IN= OUT=
for i in $(seq 2 40); do
	case $(in_share "web-$i") in
	"2 true") IN=${IN:-web-$i} ;;
	"1 false") OUT=${OUT:-web-$i} ;;
	*) fail "web-$i: $(in_share "web-$i")" ;;
	esac
done
[ "$IN" ] && [ "$OUT" ] || fail "a quarter of 39 is nobody, or everybody"

step "each entrance gives an instance the same"
fetch_as() { curl -sf -H "Authorization: Bearer $CONFLUX_TOKEN" "$@" "$URL/api/v1/fetch/config/$KEY"; }
is "$(fetch_as -H "X-Conflux-Instance: $IN")" "good day" "the header"
is "$(fetch_as -H "X-Conflux-Instance: $OUT")" "hello" "the header of another"
is "$(fetch_as -G -d "instance=$IN" -H "X-Conflux-Instance: $OUT")" "good day" "the query goes before"
ask GET "$URL/api/v1/fetch/config/$KEY?instance=with%20space"
yes 400

step "a watch is told when its own instance comes in, and no other"
conflux watch --instance "$OUT" --count 1 -o json $KEY >"$WORK/out" &
WATCH=$!
conflux watch --instance "$IN" --count 1 -o json $KEY >"$WORK/in" &
OTHER=$!
watches() { [ "$(curl -sf -H "Authorization: Bearer $CONFLUX_TOKEN" "$URL/metrics" | awk '/^conflux_watchers /{print $2}')" = 2 ]; }
until_ok watches
rules 100
yes 200
wait $WATCH
is "$(jq .version "$WORK/out")" 2 "what it is told"
kill $OTHER
wait $OTHER || true
is "$(cat "$WORK/in")" "" "who had it is told nothing"
for i in $(seq 2 12); do is "$(conflux resolve --instance "web-$i" -o name $KEY)" 2 "web-$i"; done
is "$(conflux fetch $KEY)" "hello" "a share of all is of those who say who they are"

step "versions that nothing names go, the rest says why it stays"
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [{"version_id": 1}]}'
yes 200
for text in a b c; do
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d "{\"content\": \"$text\"}"
	yes 200
done
is "$(conflux cluster gc)" "0 versions of 1 configurations removed" "nobody says what is kept"
conflux apply -f - <<'END'
apiVersion: gitops.conflux.io/v1alpha1
kind: ReleasePolicy
metadata: {name: keep, namespace: acme}
spec: {strategy: immediate, retention: {versions: 1}}
END
ask GET "$URL/api/v1/_cluster/gc/configs/$ID/preview"
yes 200
is "$(field '[.versions[] | "\(.version_id)\(if .removed then "-" else "" end)"] | join(" ")')" "5 4 3- 2- 1-" preview
is "$(field '.versions[0].why')" "it is what the default rule serves" "why"
is "$(field .next)" null "the whole preview"
ask GET "$URL/api/v1/_cluster/gc/configs/$ID/preview?after=4"
yes 200
is "$(field '[.versions[].version_id, .removed] | join(" ")')" "3 2 1 3" "behind a version"
ask GET "$URL/api/v1/_cluster/gc/configs/$ID/preview?after=x"
yes 400
OUT=$(conflux cluster gc preview "$KEY" 2>"$WORK/err")
is "$(awk '{ print $1, $4 }' <<<"$OUT" | tr '\n' ' ')" "VERSION GOES 5 no 4 no 3 yes 2 yes 1 yes " table
has "$OUT" "it is what the default rule serves"
has "$(cat "$WORK/err")" "3 of 5 versions would go: it keeps the newest 1"
is "$(conflux cluster gc)" "3 versions of 1 configurations removed" gc
is "$(conflux cluster gc)" "0 versions of 1 configurations removed" "gc again"
ask GET "$URL/api/v1/_cluster/gc/status"
is "$(field .removed)" 3 status
ask GET "$URL/api/v1/mgt/configs/$ID/versions"
is "$(field '[.versions[].version_id] | join(" ")')" "5 4" "what is left"
is "$(conflux fetch $KEY)" "c" fetch
conflux audit verify

step "the leader collects by itself"
stop_daemon
start_daemon --storage-collect-interval 100ms
for text in d e f; do
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d "{\"content\": \"$text\"}"
	yes 200
done
two_left() {
	ask GET "$URL/api/v1/mgt/configs/$ID/versions"
	[ "$(field '[.versions[].version_id] | join(" ")')" = "8 7" ]
}
until_ok two_left
is "$(conflux fetch $KEY)" "f" fetch
# They are gone before the leader has counted them.
counted() { ask GET "$URL/api/v1/_cluster/gc/status"; [ "$(field .leader.removed)" = 3 ]; }
until_ok counted
is "$(field .removed)" 0 "asked for since the start"
has "$(conflux audit list --from 1 --limit 1000 -o json | jq -r '.records[] | .action + " " + .subject')" "version-drop system"
records() { conflux audit verify | sed 's/ records.*//'; }
looks() { curl -sf -H "Authorization: Bearer $CONFLUX_TOKEN" "$URL/metrics" | awk '/^conflux_collect_runs_total /{print $2}'; }
RECORDS=$(records) RUNS=$(looks)
more_looks() { [ "$(looks)" -gt $((RUNS + 2)) ]; }
until_ok more_looks
is "$(records)" "$RECORDS" "records: nothing is written while nothing is over"

step "a preview has pages, and the command shows all of them"
stop_daemon
start_daemon --storage-collect-interval 0 --storage-versions-max 2000
publish_many() {
	for n in $(seq "$1" "$2"); do
		printf 'url = %s\nheader = "Authorization: Bearer %s"\nheader = "Content-Type: %s"\n' \
			"$URL/api/v1/mgt/configs/$ID/publish" "$TOKEN" application/json
		printf 'data = "{\\"content\\": \\"n%s\\"}"\noutput = /dev/null\nfail\nnext\n' "$n"
	done | head -n -1 >"$WORK/publishes"
	curl -s --no-progress-meter --fail-early -K "$WORK/publishes"
}
preview() {
	ask GET "$URL/api/v1/_cluster/gc/configs/$ID/preview"
	yes 200
}
# What is kept at most is in the state a moment later: until then the oldest go.
FROM=1
has_grown() {
	publish_many $FROM $((FROM + 149))
	FROM=$((FROM + 150))
	preview
	[ "$(field '.versions | length')" -gt 110 ]
}
until_ok has_grown
publish_many $FROM $((FROM + 999))
preview
is "$(field '"\(.versions | length) \(.versions[0].version_id - .next)"')" "1000 999" "first page"
OUT=$(conflux cluster gc preview "$KEY" 2>"$WORK/err")
is "$(awk 'NR == 2 { last = $1 } NR > 2 && $1 != --last { print } END { print (NR > 1111) }' <<<"$OUT")" \
	1 "all of them, without a gap"
has "$(cat "$WORK/err")" " $(($(wc -l <<<"$OUT") - 3)) of $(($(wc -l <<<"$OUT") - 1)) versions would go"
