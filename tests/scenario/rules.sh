#!/usr/bin/env bash
# The basic case of releasing: version 1 for everybody, version 2 for those who are
# labelled canary=true; resolve says who gets what and why; a rollback clears the rule.
. "$(dirname "$0")/lib.bash"
start_daemon
PATH=$CONFLUX_BIN:$PATH
make_tenant acme
KEY=acme/shop/prod/greeting.txt

step "version 1 is published, and everybody gets it"
make_config greeting.txt "hello"
yes 201
ID=$(field .id)
is "$(conflux fetch $KEY)" "hello" fetch
is "$(conflux fetch -l canary=true $KEY)" "hello" "fetch with labels"

step "version 2 is there, and live for nobody"
ask POST "$URL/api/v1/mgt/configs/$ID/versions" -d '{"content": "good day"}'
yes 201
is "$(field .version_id)" 2 "the new version"
is "$(conflux fetch $KEY)" "hello" fetch
is "$(conflux fetch -l canary=true $KEY)" "hello" "fetch with labels"

step "a rule gives it to canary=true, and version 1 stays for the rest"
ask PUT "$URL/api/v1/mgt/configs/$ID/releases" -d '{"releases": [
	{"version_id": 1},
	{"version_id": 2, "labels": {"canary": "true"}, "priority": 10}]}'
yes 200
is "$(conflux fetch $KEY)" "hello" fetch
is "$(conflux fetch -l canary=true $KEY)" "good day" "fetch with labels"
is "$(conflux fetch -l canary=true -l zone=b $KEY)" "good day" "and others"
is "$(conflux fetch -l canary=false $KEY)" "hello" "another value"

step "resolve shows both, each with its reason"
ask GET "$URL/api/v1/mgt/configs/$ID/resolve"
yes 200
is "$(field .version_id)" 1 "who has no labels"
is "$(field '[.releases[].version_id] | sort | tostring')" "[1,2]" "all rules"
printf '  %s\n' "$(field .why)"
ask GET "$URL/api/v1/mgt/configs/$ID/resolve?label.canary=true"
is "$(field .version_id)" 2 "who is a canary"
printf '  %s\n' "$(field .why)"
is "$(conflux resolve -o name $KEY)" 1 "the command"
is "$(conflux resolve -o name -l canary=true $KEY)" 2 "the command, with labels"

step "an emergency rollback clears the rule: version 1 for everybody"
conflux rollback --mode emergency --version-id 1 -m "good day was too formal" $KEY
is "$(conflux fetch $KEY)" "hello" fetch
is "$(conflux fetch -l canary=true $KEY)" "hello" "fetch with labels"
ask GET "$URL/api/v1/mgt/configs/$ID/resolve?label.canary=true"
is "$(field .version_id)" 1 "who was a canary"
is "$(field '.releases | length')" 1 "rules that are left"

step "the audit log has each of these, in order"
OUT=$(conflux audit list -o json | jq -r '.records[] |
	select(.target | test("greeting")) | .action' | paste -sd' ')
is "$OUT" "apply version release rollback" audit
conflux audit verify
