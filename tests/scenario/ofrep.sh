#!/usr/bin/env bash
# Flags over OFREP: with curl, and with OpenFeature's own SDKs for JavaScript.
. "$(dirname "$0")/lib.bash"
HERE=$(realpath "$(dirname "$0")")
start_daemon
make_tenant acme
BASE=$URL/api/v1/ofrep/acme/shop/prod/flags.json
FLAGS='{"dark": true, "limit": 10, "title": "hi", "ui": {"theme": "blue"}, "none": null,
	"switch": {"state": "ENABLED", "variants": {"on": true, "off": false},
		"defaultVariant": "off", "metadata": {"team": "web"}},
	"old": {"state": "DISABLED", "variants": {"on": false}, "defaultVariant": "on"},
	"targeted": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on",
		"targeting": {"if": [true, "on"]}}}'
one() { ask POST "$BASE/ofrep/v1/evaluate/flags/$1" -d "${2:-{\}}" "${@:3}"; }
all() { ask POST "$BASE/ofrep/v1/evaluate/flags" -d "${1:-{\}}" "${@:2}"; }

step "a flag is a member of the configuration"
make_config flags.json "$FLAGS" json
yes 201
ID=$(field .id)
one dark
yes 200
is "$BODY" '{"key":"dark","reason":"STATIC","value":true,"metadata":{"version":1}}'
is "$(header content-type)" application/json type
one ui.theme
is "$(field .value)" blue value
one switch
is "$(field '.variant + " " + (.value | tostring) + " " + .metadata.team')" "off false web"

step "errors are what the protocol says"
one missing
yes 404
is "$BODY" '{"key":"missing","errorCode":"FLAG_NOT_FOUND","errorDetails":"the configuration has no such flag"}'
one targeted
yes 400
is "$(field .errorCode)" GENERAL code
one dark '{"context": '
yes 400
is "$(field '.key + " " + .errorCode')" "dark PARSE_ERROR"
one dark '{"context": {"a": 1, "a": 2}}'
yes 400
is "$(field .errorCode)" PARSE_ERROR code
one dark '{"context": []}'
yes 400
is "$(field .errorCode)" INVALID_CONTEXT code
one dark '{"context": {"targetingKey": 1}}'
yes 400
is "$(field .errorCode)" INVALID_CONTEXT code
all '{"context": 1}'
yes 400
is "$(field '.errorCode + " " + (.key | tostring)')" "INVALID_CONTEXT null"
ask POST "$URL/api/v1/ofrep/acme/shop/prod/no.json/ofrep/v1/evaluate/flags/dark"
yes 404
is "$(field '.key + " " + .errorCode')" "dark FLAG_NOT_FOUND"
ask GET "$BASE/ofrep/v1/evaluate/flags/dark"
yes 405

step "all flags at once, and not again while nothing changes"
all
yes 200
is "$(field '[.flags[].key] | join(" ")')" "dark limit title ui none switch old targeted"
is "$(field '.flags[] | select(.key == "old") | "\(.reason) \(has("value"))"')" "DISABLED false"
is "$(field '.flags[] | select(.key == "none") | "\(.reason) \(has("value"))"')" "DEFAULT false"
is "$(field '.flags[] | select(.key == "targeted") | .errorCode')" GENERAL
ETAG=$(header etag)
all '{}' -H "If-None-Match: $ETAG"
yes 304
is "$BODY" "" body

step "who has no token gets no flag; the other header of the protocol does as well"
is "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$BASE/ofrep/v1/evaluate/flags/dark")" 401
is "$(curl -s -o /dev/null -w '%{http_code}' -X POST -H "X-API-Key: cfx_no" \
	"$BASE/ofrep/v1/evaluate/flags")" 401
is "$(curl -s -X POST -H "X-API-Key: $TOKEN" "$BASE/ofrep/v1/evaluate/flags/limit" |
	jq .value)" 10
is "$(curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: $TOKEN" \
	"$URL/api/v1/fetch/config/acme/shop/prod/flags.json")" 401

step "release rules decide by the evaluation context"
ask POST "$URL/api/v1/mgt/configs/$ID/versions" -d '{"content": "{\"dark\": false}"}'
yes 201
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [{"labels": {},
	"version_id": 1}, {"labels": {"region": "eu", "beta": "true"}, "version_id": 2,
	"priority": 1}]}'
yes 200
one dark '{"context": {"region": "eu", "beta": true, "a b": 1, "deep": {}}}'
is "$(field '"\(.value) \(.reason) \(.metadata.version)"')" "false TARGETING_MATCH 2"
is "$(header x-conflux-context-ignored)" 2 ignored
one dark '{"context": {"region": "eu"}}'
is "$(field '"\(.value) \(.reason)"')" "true STATIC"
one dark '{"context": {"region": "eu"}}' -H 'X-Conflux-Label-Beta: true' \
	-H 'X-Conflux-Label-Region: us'
is "$(field .reason)" TARGETING_MATCH reason       # the context goes before headers
all '{"context": {"region": "eu", "beta": true}}' -H "If-None-Match: $ETAG"
yes 200
is "$(field '[.flags[].key] | join(" ")')" dark
# Where a share of the instances decides it says so.
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [{"percent": 100,
	"version_id": 2, "priority": 2}, {"labels": {}, "version_id": 1}, {"labels":
	{"region": "eu", "beta": "true"}, "version_id": 2, "priority": 1}]}'
yes 200
one dark '{"context": {"targetingKey": "web-1"}}'
is "$(field '"\(.value) \(.reason)"')" "false SPLIT"
one dark '{}'
is "$(field '"\(.value) \(.reason)"')" "true STATIC"
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [{"labels": {},
	"version_id": 1}, {"labels": {"region": "eu", "beta": "true"}, "version_id": 2,
	"priority": 1}]}'
yes 200
all '{"context": {"region": "eu", "beta": true}}'

step "an evaluation may wait for a revision"
ask POST "$BASE/ofrep/v1/evaluate/flags/dark?min_revision=$(header x-conflux-revision)"
yes 200
ask POST "$BASE/ofrep/v1/evaluate/flags/dark?min_revision=99999999"
yes 504

step "what cannot be read as flags says so"
make_config words.txt "no flags" text
ask POST "$URL/api/v1/ofrep/acme/shop/prod/words.txt/ofrep/v1/evaluate/flags"
yes 400
has "$BODY" "plain text"
make_config list.yaml "- 1" yaml
ask POST "$URL/api/v1/ofrep/acme/shop/prod/list.yaml/ofrep/v1/evaluate/flags/0"
yes 400
has "$BODY" "no object"
{ printf '{"a": "'; head -c 1100000 /dev/zero | tr '\0' x; printf '"}'; } >"$WORK/large"
jq -n --rawfile c "$WORK/large" '{tenant: "acme", application: "shop",
	environment: "prod", name: "large.json", format: "json", content: $c}' >"$WORK/req"
ask POST "$URL/api/v1/mgt/configs" -d @"$WORK/req"
yes 201
ask POST "$URL/api/v1/ofrep/acme/shop/prod/large.json/ofrep/v1/evaluate/flags/a"
yes 400
has "$BODY" "1048576 bytes"
make_config dir/on.toml "dark = true" toml
ask POST "$URL/api/v1/ofrep/acme/shop/prod/dir%2Fon.toml/ofrep/v1/evaluate/flags/dark"
yes 200

step "the SDKs are installed in the versions of the lock file"
export MODULES=$WORK/modules
mkdir "$MODULES"
cp "$HERE"/ofrep/package*.json "$MODULES"
(cd "$MODULES" && npm ci --ignore-scripts --no-audit --no-fund) >"$WORK/npm.log" 2>&1 ||
	fail "npm ci: $(tail -n 5 "$WORK/npm.log")"
sdk() { timeout 60 node "$HERE/ofrep/client.mjs" "$BASE" "$TOKEN" "$@" 2>&1; }

step "OpenFeature's server SDK reads single flags"
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [{"labels": {},
	"version_id": 1}, {"labels": {"region": "eu"}, "version_id": 2, "priority": 1}]}'
yes 200
is "$(sdk server)" 'dark true STATIC - - {"version":1}
dark-eu false TARGETING_MATCH - - {"version":2}
limit 10 STATIC - - {"version":1}
title "hi" STATIC - - {"version":1}
ui {"theme":"blue"} STATIC - - {"version":1}
ui.theme "blue" STATIC - - {"version":1}
switch false STATIC off - {"team":"web","version":1}
missing true ERROR - FLAG_NOT_FOUND {}
targeted false ERROR - GENERAL {}
type true ERROR - TYPE_MISMATCH {}' "the server SDK"
has "$(TOKEN=cfx_none sdk denied)" "false ERROR"

step "its web SDK reads all of them, and is told when they change"
sdk web >"$WORK/web" &
WEB=$!
until_ok grep -q '^polling$' "$WORK/web"
ask PUT "$URL/api/v1/mgt/configs/$ID" -d "$(jq -n --argjson f "$FLAGS" \
	'{content: ($f + {dark: false, stop: true} | tojson)}')"
yes 200
wait $WEB || fail "the web SDK: $(cat "$WORK/web")"
is "$(cat "$WORK/web")" 'dark true STATIC - - {"version":1}
old true DISABLED - - {"version":1}
switch false STATIC off - {"team":"web","version":1}
targeted false ERROR - GENERAL {}
missing true ERROR - FLAG_NOT_FOUND {"version":1}
dark-eu false TARGETING_MATCH - - {"version":2}
polling
changed dark,limit,none,old,stop,switch,title,ui
dark false STATIC - - {"version":3}' "the web SDK"
