#!/usr/bin/env bash
# Configurations over HTTP: made, fetched, versioned, released, rolled back.
. "$(dirname "$0")/lib.bash"
start_daemon
make_tenant acme
F=$URL/api/v1/fetch/config/acme/shop/prod

step "content comes back byte for byte, with what identifies it"
printf 'a = 1 # \xc3\xa4\n\n\n' >"$WORK/one.toml"
make_config app.toml "$(cat "$WORK/one.toml"; printf x)" toml
yes 422     # "...\n\n\nx" is no TOML
has "$BODY" "line 4"
jq -n --rawfile c "$WORK/one.toml" '{tenant: "acme", application: "shop",
	environment: "prod", name: "app.toml", format: "toml", content: $c}' >"$WORK/req"
ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/req"
yes 201
ID=$(field .id)
ask GET "$F/app.toml"
yes 200
cmp "$WORK/body" "$WORK/one.toml" || fail "other bytes"
SHA=$(sha256sum "$WORK/one.toml" | cut -d' ' -f1)
is "$(header etag)" "\"$SHA\"" etag
is "$(header content-type)" "application/toml" type
is "$(header x-conflux-version)" 1 version
is "$(header x-conflux-rule)" 0 rule
[ -n "$(header x-conflux-revision)" ] || fail "no revision"
[ -n "$(header x-conflux-trace)" ] || fail "no trace"

step "an unchanged fetch is a 304; HEAD has no body"
ask GET "$F/app.toml" -H "If-None-Match: \"$SHA\""
yes 304
is "$BODY" "" body
ask HEAD "$F/app.toml"
yes 200
is "$(header content-length)" "$(stat -c %s "$WORK/one.toml")" length

step "who has no token, or a wrong one, gets nothing"
is "$(curl -s -o "$WORK/body" -w '%{http_code}' "$F/app.toml")" 401 status
has "$(cat "$WORK/body")" '"code":"unauthorized"'
is "$(curl -s -o "$WORK/body" -w '%{http_code}' -H 'Authorization: Bearer cfx_no' \
	"$F/app.toml")" 401 status

step "a read-only token reads and does not write; a removed one does neither"
ask POST "$URL/api/v1/tokens" -d '{"name": "reader", "read_only": true}'
yes 201
is "$(field .role)" read-only role
READER=$(field .token)
ask POST "$URL/api/v1/tokens" -H 'Idempotency-Key: t' -d '{"name": "twice"}'
yes 201
ask POST "$URL/api/v1/tokens" -H 'Idempotency-Key: t' -d '{"name": "twice"}'
yes 409
ask POST "$URL/api/v1/tokens" -d '{"name": "typo", "readonly": true}'
yes 422
is "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $READER" \
	"$F/app.toml")" 200 status
is "$(curl -s -o "$WORK/body" -w '%{http_code}' -H "Authorization: Bearer $READER" \
	-X DELETE "$URL/api/v1/mgt/configs/$ID")" 403 status
has "$(cat "$WORK/body")" reader
ask DELETE "$URL/api/v1/tokens/reader"
yes 204
is "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $READER" \
	"$F/app.toml")" 401 status

step "what was denied is in the audit, counted"
denied() {
	ask GET "$URL/api/v1/audit?limit=100"
	field '.records[] | select(.action == "denied") | .target' >"$WORK/denied"
	[ -s "$WORK/denied" ]
}
until_ok denied
has "$(cat "$WORK/denied")" "times address 127.0.0.1: fetch, unauthorized"

step "a publish makes a version that is live at once"
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "a = 2\n", "message": "two"}'
yes 200
is "$(field .version_id)" 2 version
ask GET "$F/app.toml"
is "$BODY" "a = 2" body
is "$(header x-conflux-version)" 2 version

REV=$(header x-conflux-revision)
ask GET "$URL/api/v1/mgt/configs/$ID"
is "$(field .revision)" "$REV" revision
ask PUT "$URL/api/v1/mgt/configs/$ID" -d '{"content": "a = 2\n"}'
yes 200
is "$(header x-conflux-revision)" "$REV" "revision of what did not change"
ask GET "$URL/api/v1/audit?limit=1000"
is "$(field '.records | map(select(.action == "publish")) | last.reason')" two reason
ask POST "$URL/api/v1/mgt/configs/$ID/publish" \
	-d "$(jq -n '{version_id: 1, message: ("x" * 5000)}')"
yes 422

step "a version alone changes nothing that is live"
ask POST "$URL/api/v1/mgt/configs/$ID/versions" -d '{"content": "a = 3\n"}'
yes 201
is "$(field .version_id)" 3 version
ask GET "$F/app.toml"
is "$BODY" "a = 2" body

step "labels choose among release rules; the query wins over the header"
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [
	{"labels": {}, "version_id": 2, "priority": 0},
	{"labels": {"zone": "north"}, "version_id": 3, "priority": 1}]}'
yes 200
ask GET "$F/app.toml?label.zone=north"
is "$BODY" "a = 3" body
ask GET "$F/app.toml" -H 'X-Conflux-Label-Zone: north'
is "$BODY" "a = 3" body
ask GET "$F/app.toml?label.zone=south" -H 'X-Conflux-Label-Zone: north'
is "$BODY" "a = 2" body
ask GET "$URL/api/v1/mgt/configs/$ID/resolve?label.zone=north"
yes 200
is "$(field .version_id)" 3 version

step "stable_only sets the default and keeps labelled rules; emergency clears them"
ask POST "$URL/api/v1/mgt/configs/$ID/rollback" \
	-d '{"mode": "stable_only", "version_id": 1, "comment": "back"}'
yes 200
ask GET "$F/app.toml"
cmp "$WORK/body" "$WORK/one.toml" || fail "other bytes"
ask GET "$F/app.toml?label.zone=north"
is "$BODY" "a = 3" body
ask POST "$URL/api/v1/mgt/configs/$ID/rollback" \
	-d '{"mode": "emergency", "version_id": 2, "comment": "back"}'
yes 200
ask GET "$F/app.toml?label.zone=north"
is "$BODY" "a = 2" body

step "versions are listed, page by page"
ask GET "$URL/api/v1/mgt/configs/$ID/versions?limit=2"
yes 200
is "$(field '[.versions[].version_id] | join(",")')" 3,2 versions
ask GET "$URL/api/v1/mgt/configs/$ID/versions$(field .next)&limit=2"
is "$(field '[.versions[].version_id] | join(",")')" 1 versions

step "If-Match and Idempotency-Key"
ask GET "$URL/api/v1/mgt/configs/$ID"
REV=$(field .revision)
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H "If-Match: $((REV - 1))" \
	-d '{"content": "a = 9\n"}'
yes 412
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H "If-Match: \"$REV\"" \
	-H 'Idempotency-Key: k1' -d '{"content": "a = 4\n"}'
yes 200
V=$(field .version_id)
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H "If-Match: \"$REV\"" \
	-H 'Idempotency-Key: k1' -d '{"content": "a = 4\n"}'
yes 200
is "$(field .version_id)" "$V" version
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -H 'Idempotency-Key: k1' \
	-d '{"content": "a = 5\n"}'
yes 422
has "$BODY" idempotency

step "bad input is refused with its place, and changes nothing"
ask GET "$URL/api/v1/mgt/configs/$ID"
REV=$(field .revision)
while IFS='|' read -r status path body; do
	ask POST "$URL$path" -d "$body"
	yes "$status"
	is "$(header content-type)" application/problem+json type
	[ -n "$(field .detail)" ] || fail "no detail"
done <<LIST
400|/api/v1/mgt/configs|{"a":
400|/api/v1/mgt/configs|[]
400|/api/v1/mgt/configs|
422|/api/v1/mgt/configs|{}
400|/api/v1/mgt/configs|{"tenant":"acme","application":"shop","environment":"prod","name":"../x","format":"text","content":"x"}
422|/api/v1/mgt/configs|{"tenant":"acme","application":"shop","environment":"prod","name":"x","format":"nonsense","content":"x"}
404|/api/v1/mgt/configs|{"tenant":"none","application":"shop","environment":"prod","name":"x","format":"text","content":"x"}
404|/api/v1/mgt/configs/00000000-0000-4000-8000-000000000000/publish|{"content":"x"}
400|/api/v1/mgt/configs/nonsense/publish|{"content":"x"}
422|/api/v1/mgt/configs/$ID/publish|{"content":"a = "}
422|/api/v1/mgt/configs/$ID/publish|{"version_id":99}
422|/api/v1/mgt/configs/$ID/publish|{"version_id":1,"content":"a = 1"}
422|/api/v1/mgt/configs/$ID/publish|{"content":"a = '{{ .Secrets.x }}'"}
422|/api/v1/mgt/configs/$ID/publish|{"content":"a = '{{ secret.x }}'"}
422|/api/v1/mgt/configs/$ID/versions|{"content":"a = '{{ secret.x }}'"}
422|/api/v1/mgt/configs|{"tenant":"acme","application":"shop","environment":"prod","name":"ref.json","content":"{\"a\":\"{{ secret.x }}\"}"}
422|/api/v1/mgt/configs/$ID/rollback|{"mode":"nonsense"}
404|/api/v1/nothing|{}
405|/api/v1/watch|{}
LIST
ask PUT "$URL/api/v1/mgt/configs/$ID" -d '{"content": "a = \"{{ secret.x }}\""}'
yes 422
has "$(field .detail)" "line 1: references ({{ ... }}) are not supported yet"
ask GET "$URL/api/v1/mgt/configs/$ID"
is "$(field .revision)" "$REV" revision

step "a read waits for the revision that it wants to see"
make_config wait.txt one
RID=$(field .id)
NOW=$(header x-conflux-revision)
for q in min_revision=0 "min_revision=$NOW" consistency=local \
	consistency=linearizable "consistency=linearizable&min_revision=$NOW"; do
	ask GET "$F/wait.txt?$q"
	yes 200
	is "$BODY" one body
done
# The Release behind the publish has a revision too.
ask GET "$URL/api/v1/status"
NOW=$(field .revision)
for n in 1 2 3; do
	case $n in
	1) at=$F/wait.txt ;;
	2) at=$URL/api/v1/mgt/configs/$RID ;;
	3) at=$KUBE/namespaces/acme/confluxconfigs ;;
	esac
	# Where the machine is slow the two seconds are over before, and it asks again.
	curl -s --max-time 20 --retry 9 -H "Authorization: Bearer $TOKEN" -w '%{http_code}' \
		-o "$WORK/waited$n" "$at?min_revision=$((NOW + 1))" >"$WORK/code$n" &
	WAITS[n]=$!
done
# One that is reset before it is answered, behind which another waits.
python3 - "${URL#http://}" "$TOKEN" "$((NOW + 1))" <<'PY'
import socket, struct, sys
host, port = sys.argv[1].rsplit(":", 1)
s = socket.create_connection((host, int(port)))
s.sendall(2 * (f"GET /api/v1/fetch/config/acme/shop/prod/wait.txt?min_revision={sys.argv[3]}"
    f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sys.argv[2]}\r\n\r\n").encode())
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
try:
    s.settimeout(0.1)
    s.recv(1)
except TimeoutError:
    pass
s.close()
PY
for n in 1 2 3; do [ ! -s "$WORK/code$n" ] || fail "answered too early"; done
ask POST "$URL/api/v1/mgt/configs/$RID/publish" -d '{"content": "two"}'
yes 200
for n in 1 2 3; do
	wait "${WAITS[n]}" || fail "no answer"
	is "$(cat "$WORK/code$n")" 200 status
done
is "$(cat "$WORK/waited1")" two body
is "$(jq .object.status.version "$WORK/waited2")" 2 version
is "$(jq '.items[-1].status.version' "$WORK/waited3")" 2 version

step "and says that it is not here after two seconds"
ask GET "$F/wait.txt?min_revision=$((NOW + 99))"
yes 504
has "$BODY" "revision $((NOW + 99)) is not here yet"
ask GET "$KUBE/tenants?min_revision=$((NOW + 99))"
yes 504
is "$(field .reason)" Timeout reason
for q in min_revision=x min_revision=-1 consistency=x; do
	ask GET "$F/wait.txt?$q"
	yes 400
done
ask POST "$URL/api/v1/mgt/configs/$RID/publish?min_revision=$((NOW + 99))" \
	-d '{"content": "three"}'
yes 400
ask GET "$F/wait.txt"
is "$BODY" two body

step "large content is stored in pieces and comes back whole; too large is refused"
head -c 3000000 /dev/urandom | base64 -w 0 >"$WORK/big"
jq -n --rawfile c "$WORK/big" '{tenant: "acme", application: "shop",
	environment: "prod", name: "big.txt", format: "text", content: $c}' >"$WORK/req"
ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/req"
yes 201
ask GET "$F/big.txt"
cmp "$WORK/body" "$WORK/big" || fail "other bytes"
head -c 9000000 /dev/zero | tr '\0' x >"$WORK/huge"
ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/huge"
yes 413

step "who asks the same again on one connection is answered what is true then"
# One connection: the same fetch over and over, while others change what it depends on.
cat >"$WORK/again.py" <<'PY'
import http.client, json, sys
url, path, token, reader, config = sys.argv[1:]
def client():
    return http.client.HTTPConnection(url[len("http://"):])
def headers(of):
    return {"Authorization": "Bearer " + of, "Content-Type": "application/json"}
one, other = client(), client()
def fetch(of=reader):
    one.request("GET", path, headers=headers(of))
    answer = one.getresponse()
    return answer.status, answer.read().decode(), answer.headers["X-Conflux-Version"]
def change(method, where, body=None):
    other.request(method, where, json.dumps(body or {}), headers(token))
    answer = other.getresponse()
    answer.read()
    assert answer.status < 300, answer.status
for n in range(5):
    content = f"a = {100 + n}\n"
    change("POST", f"/api/v1/mgt/configs/{config}/publish", {"content": content})
    seen = {fetch()[:2] for _ in range(6)}
    assert seen == {(200, content)}, seen
change("DELETE", "/api/v1/tokens/again")
seen = [fetch()[0] for _ in range(4)]
assert seen == [401] * 4, seen
PY
ask POST "$URL/api/v1/tokens" -d '{"name": "again", "read_only": true}'
yes 201
python3 "$WORK/again.py" "$URL" "${F#"$URL"}/app.toml" "$TOKEN" \
	"$(field .token)" "$ID" || fail "not what is true"

step "a deleted configuration is gone"
ask DELETE "$URL/api/v1/mgt/configs/$ID"
yes 204
ask GET "$F/app.toml"
yes 404
ask GET "$URL/api/v1/mgt/configs/$ID"
yes 404

step "the audit has it all, and the chain holds"
ask GET "$URL/api/v1/audit?limit=100"
yes 200
ask GET "$URL/api/v1/audit/verify"
yes 200
is "$(field .valid)" true valid

step "an orderly stop ends with 0"
kill -TERM "$DAEMON"
wait "$DAEMON" || fail "confluxd ended with $?"
DAEMON=
