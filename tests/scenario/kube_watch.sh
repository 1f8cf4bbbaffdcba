#!/usr/bin/env bash
# Watches of objects in the Kubernetes manner, and what clients ask first (discovery).
. "$(dirname "$0")/lib.bash"
with_tsan
start_daemon --server-heartbeat 300ms
make_tenant acme
make_tenant bank
A='"apiVersion": "gitops.conflux.io/v1alpha1"'
APPS=$KUBE/namespaces/acme/applications
put_app() { # TENANT NAME LABELS
	ask POST "$KUBE/namespaces/$1/applications" -d "{$A, \"kind\": \"Application\",
		\"metadata\": {\"name\": \"$2\", \"labels\": $3}}"
	yes 201
}
label() { # NAME LABELS, null takes one away
	ask PATCH "$APPS/$1" -H 'Content-Type: application/merge-patch+json' \
		-d "{\"metadata\": {\"labels\": $2}}"
	yes 200
}
WATCHES=()
# watch NAME QUERY [path]: its lines go to a file of that name.
watch() {
	curl -sN -m 120 -D "$WORK/$1.head" -H "Authorization: Bearer $TOKEN" \
		"${3:-$APPS}?watch=true&$2" >"$WORK/$1" &
	WATCHES+=($!)
	until_ok grep -q "^HTTP/1.1" "$WORK/$1.head"
}
events() { jq -r '"\(.type) \(.object.metadata.name)"' "$WORK/$1" | tr '\n' ' '; }
told() { [[ $(events "$1") == *"$2"* ]]; }

step "discovery: every kind, and nothing that is not served"
for path in /api /api/v1 /apis /apis/gitops.conflux.io /openapi/v3; do
	ask GET "$URL$path"
	yes 200
done
ask GET "$KUBE"
is "$(field '[.resources[].name] | sort | join(" ")')" "$(sed -n 's/^plural: //p' \
	"$(dirname "$0")"/../../schemas/kinds/*.yaml | sort | tr '\n' ' ' | sed 's/ $//')" kinds
is "$(field '.resources[] | select(.name == "releases") | .verbs | join(" ")')" \
	"get list watch" "what can be done with releases"
ask GET "$URL/openapi/v3"
ask GET "$URL$(field '.paths[].serverRelativeURL')"
yes 200
has "$(header Cache-Control)" immutable
is "$(field '.components.schemas | keys | length')" 12 schemas
is "$(field '[.paths[] | select(.patch) | .patch.parameters[].name] | unique | join(" ")')" \
	"dryRun fieldValidation" "parameters of a patch"
ask GET "$URL/api/v1/namespaces/acme"
is "$(field .metadata.name)" acme namespace
ask GET "$URL/api/v1/namespaces/none"
yes 404
is "$(field .reason)" NotFound reason
ask GET "$APPS?includeObject=Object" -H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io'
is "$(field .kind)" Table table

step "a watch begins with what there is, or behind the revision of a list"
put_app acme one '{"zone": "n"}'
ask GET "$APPS"
RV=$(field .metadata.resourceVersion)
watch all ""
watch after "resourceVersion=$RV"
watch north "resourceVersion=$RV&labelSelector=zone%3Dn"
watch named "fieldSelector=metadata.name%3Dtwo"
watch first "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
watch tenants "resourceVersion=$RV" "$KUBE/applications"
watch other "resourceVersion=$RV" "$KUBE/namespaces/bank/applications"
watch table "resourceVersion=$RV&labelSelector=zone%3Dn"
put_app acme two '{"zone": "s"}'
put_app bank three '{}'
label two '{"zone": "n"}'
label two '{"team": "a"}'
label one '{"zone": "s"}'
label two '{"zone": "n"}'
ask DELETE "$APPS/two"
yes 200
put_app acme last '{"zone": "n"}'
put_app bank last '{}'
for w in all after north first tenants other table; do until_ok told $w "ADDED last"; done
until_ok told named "DELETED two"
is "$(events all)" "ADDED one ADDED two MODIFIED two MODIFIED two MODIFIED one DELETED two ADDED last " all
is "$(events after)" "ADDED two MODIFIED two MODIFIED two MODIFIED one DELETED two ADDED last " after
is "$(events north)" "ADDED two MODIFIED two DELETED one DELETED two ADDED last " "by label"
is "$(events named)" "ADDED two MODIFIED two MODIFIED two DELETED two " "by name"
has "$(events tenants)" "ADDED three"
is "$(events other)" "ADDED three ADDED last " "of the other tenant"
is "$(head -n 2 "$WORK/first" | jq -r '[.type, .object.metadata.annotations["k8s.io/initial-events-end"]] | join(" ")' |
	tr '\n' ' ')" "ADDED  BOOKMARK true " "what is first"
is "$(jq -r .object.kind "$WORK/all" | sort -u)" Application "kind of each"
# Each event has the revision of its change, upwards; what is deleted that of the deletion.
is "$(jq -r .object.metadata.resourceVersion "$WORK/after")" \
	"$(jq -r .object.metadata.resourceVersion "$WORK/after" | sort -nu)" revisions

step "bookmarks come with the heartbeat where they are wanted, and nowhere else"
for n in 1 2 3; do put_app bank "more$n" '{}'; done
ask GET "$URL/api/v1/status"
REV=$(field .revision)
mark() { [ "$(jq -r 'select(.type == "BOOKMARK") | .object.metadata.resourceVersion' "$WORK/first" | tail -n 1)" = "$REV" ]; }
until_ok mark
hasnt "$(events all)" BOOKMARK
hasnt "$(events all)" more

step "one that names its end has it, and one of what it does not know is refused"
t=$SECONDS
curl -sN -m 60 -H "Authorization: Bearer $TOKEN" "$APPS?watch=1&timeoutSeconds=1" >"$WORK/short" ||
	fail "it does not end well"
[ $((SECONDS - t)) -lt 30 ] || fail "it ends late"
has "$(events short)" "ADDED one"
while IFS='|' read -r status query words; do
	ask GET "$APPS?watch=true&$query"
	yes "$status"
	has "$BODY" "$words"
done <<LIST
400|resourceVersion=x|is no number
400|timeoutSeconds=x|is no number
400|labelSelector=a%3Db%3Dc|
400|fieldSelector=spec.no%3D1|field label not supported
504|resourceVersion=99999999|not here yet
LIST
ask GET "$KUBE/namespaces/acme/environments?watch=true&fieldSelector=spec.application%3Dshop"
yes 400
has "$BODY" "not supported in a watch"

step "a token that goes takes its watch along; one of another tenant gets none"
EVE=$(conflux token create --subject eve --tenant bank 2>/dev/null)
ROOT=$TOKEN TOKEN=$EVE
for path in "$APPS" "$KUBE/applications" "$KUBE/tenants"; do
	ask GET "$path?watch=true"
	yes 403
done
watch hers "" "$KUBE/namespaces/bank/applications"
until_ok told hers "ADDED three"
TOKEN=$ROOT
conflux token delete "$(conflux token list -o json |
	jq -r '.. | objects | select(.subject? == "eve") | .name')" >/dev/null
until_ok grep -q '"type":"ERROR"' "$WORK/hers"
is "$(jq -r 'select(.type == "ERROR") | .object.code' "$WORK/hers")" 401 code

step "a client that does not read is fed from the store when it does, and misses nothing"
# Its own window and the kernel's buffers are filled first.
python3 - "$URL" "$TOKEN" "$WORK/slow" <<'END' &
import os, socket, sys, time
url, token, name = sys.argv[1:]
host, port = url[7:].split(":")
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
s.connect((host, int(port)))
s.sendall(("GET /apis/gitops.conflux.io/v1alpha1/namespaces/bank/applications?watch=true"
           "&timeoutSeconds=3600 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
           % token).encode())
open(name + ".open", "w").write(s.recv(12).decode())
while not os.path.exists(name + ".go"):
    time.sleep(0.01)
data = b""
while b"the-end" not in data:
    part = s.recv(65536)
    assert part, "it ended early, after %d bytes" % len(data)
    data += part
open(name, "wb").write(data)
END
SLOW=$!
until_ok test -s "$WORK/slow.open"
NOTE=$(head -c 60000 /dev/zero | tr '\0' x)
for n in $(seq 1 120); do
	printf '{%s, "kind": "Application", "metadata": {"name": "three", "annotations": {"n": "%s", "note": "%s"}}}' \
		"$A" "$n" "$NOTE" >"$WORK/req"
	ask PATCH "$KUBE/namespaces/bank/applications/three" -d @"$WORK/req" \
		-H 'Content-Type: application/merge-patch+json'
	yes 200
done
put_app bank the-end '{}'
touch "$WORK/slow.go"
wait $SLOW || fail "the slow client"
is "$(grep -ao '"n":"[0-9]*"' "$WORK/slow" | tr -dc '0-9\n')" "$(seq 1 120)" "what it was told"

step "what is compacted is 410"
put_app acme before '{}'
ask GET "$URL/api/v1/status"
REV=$(field .revision)
stop_daemon
wait "${WATCHES[@]}" || true
# A node that stops ends watches as if their time had come.
for w in all after north first other; do
	hasnt "$(cat "$WORK/$w")" ERROR
	tail -n 1 "$WORK/$w" | jq -e .type >/dev/null || fail "$w is cut off"
done
start_daemon --storage-events-count 5
APPS=$KUBE/namespaces/acme/applications
ask GET "$APPS/last"
OBJECT=$BODY n=0
compacted() {
	n=$((n + 1))
	ask PUT "$APPS/last" -d "$(jq --arg n $n 'del(.metadata.resourceVersion) |
		.metadata.labels.n = $n' <<<"$OBJECT")"
	ask GET "$APPS?watch=true&resourceVersion=$REV&timeoutSeconds=1"
	[ "$STATUS" = 410 ]
}
until_ok compacted
is "$(field .reason)" Expired reason

step "a token that ends takes its watches along at that moment, and they are told nothing behind it"
# The heartbeat is 30 s here.
ROOT=$TOKEN TOKEN=$(conflux token create --subject ann --tenant bank --expires 20s 2>/dev/null)
watch ends "" "$KUBE/namespaces/bank/applications"
watch quiet "" "$KUBE/namespaces/bank/environments"
until_ok told ends "ADDED three"
over() { ask GET "$KUBE/namespaces/bank/applications"; [ "$STATUS" = 401 ]; }
until_ok over
TOKEN=$ROOT
put_app bank behind '{}'
for w in ends quiet; do
	until_ok grep -q '"type":"ERROR"' "$WORK/$w"
	is "$(jq -r 'select(.type == "ERROR") | .object.code' "$WORK/$w")" 401 code
done
hasnt "$(events ends)" behind
stop_daemon
