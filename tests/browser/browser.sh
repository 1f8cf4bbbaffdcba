#!/usr/bin/env bash
# Pages in Chromium that follow a node over TLS (make browser): EventSource with a client
# certificate, fetch with a token, WebSocket with a token; and what pages of other origins
# get.  The node is killed, and nobody misses or hears twice what happened meanwhile.
. "$(dirname "$0")/../scenario/lib.bash"
HERE=$(realpath "$(dirname "$0")")

step "the driver is installed in the version of the lock file"
export MODULES=$WORK/modules
mkdir "$MODULES"
cp "$HERE"/package*.json "$MODULES"
(cd "$MODULES" && npm ci --ignore-scripts --no-audit --no-fund) >"$WORK/npm.log" 2>&1 ||
	fail "npm ci: $(tail -n 5 "$WORK/npm.log")"

new_key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
issue() { # FILE SUBJECT [more of x509]
	new_key -new -subj "$2" -keyout "$WORK/$1.key" -out "$WORK/$1.csr"
	openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" \
		-CAcreateserial -days 2 -out "$WORK/$1.pem" "${@:3}" 2>/dev/null
}
new_key -x509 -days 2 -subj /CN=ours -keyout "$WORK/ca.key" -out "$WORK/ca.pem"
issue server /CN=server -extfile <(echo subjectAltName=IP:127.0.0.1)
issue ops /CN=ops
printf 'cacert = "%s"\n' "$WORK/ca.pem" >"$WORK/.curlrc"
export CURL_HOME=$WORK

NODE_PORT=$(free_port)
NODE=https://127.0.0.1:$NODE_PORT
# Chromium starts meanwhile.
node "$HERE/driver.mjs" "$NODE" "$WORK" >"$WORK/port" 2>"$WORK/driver.log" &
DRIVER=$!
until_ok test -s "$WORK/port"
PAGES=$(cat "$WORK/port")

# PORT: the node's, or another where no page finds it.
node_at() {
	LISTEN=127.0.0.1:$1 start_daemon --server-drain-idle 0 --server-heartbeat 300ms \
		--server-allowed-origins "http://localhost:$PAGES" \
		--tls-cert-file "$WORK/server.pem" --tls-key-file "$WORK/server.key" \
		--tls-client-ca-file "$WORK/ca.pem"
	URL=https://${URL#http://} KUBE=https://${KUBE#http://}
}
conflux() { "$CONFLUX_BIN/conflux" --server "$URL" --ca-file "$WORK/ca.pem" "$@"; }
publish() {
	for text in "$@"; do
		ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d "{\"content\": \"$text\"}"
		yes 200
	done
}
# page CONTEXT HOST SCRIPT: the answer is in SAID.
page() {
	SAID=$(curl -s --max-time 60 "http://127.0.0.1:$PAGES/do/$1/$2" --data-binary "$3") ||
		fail "$1/$2: the page does not answer: $(tail -n 5 "$WORK/driver.log")"
}
said() { is "$SAID" "$1" "the page ($(tail -n 3 "$WORK/driver.log"))"; }
trusted() { page "$1" localhost "$2"; }
stranger() { page "$1" 127.0.0.1 "$2"; }
# CONTEXT NAME N: that page was told N changes, these versions, each once and in order.
told() {
	trusted "$1" "await until(() => told.$2.length >= $3); return told.$2.map(c => c.version)"
	said "$(seq -s, "${4:-2}" $((${4:-2} + $3 - 1)) | sed 's/.*/[&]/')"
	trusted "$1" "return told.$2.every((c, i, all) => c.end && c.key === '$KEY' &&
		(i === 0 || all[i - 1].revision < c.revision))"
	said true
}

KEY=acme/shop/prod/app
node_at "$NODE_PORT"
WATCH="$NODE/api/v1/watch?key=$KEY"
SOCKET=wss://${NODE#https://}/api/v1/ws
grown() { [ "$(curl -s -H "Authorization: Bearer $TOKEN" "$URL/_cluster/status" |
	jq .cluster_version)" -ge 4 ]; }
until_ok grown
make_tenant acme
make_config app one
yes 201
ID=$(field .id)
conflux token create ops --certificate-name CN=ops >/dev/null

step "EventSource gets in with the browser's certificate: from the node's own page, and from one that is named"
page certificate node "events('own', '/api/v1/watch?key=$KEY', false);
	await until(() => opened.own === 1)"
trusted certificate "events('sse', '$WATCH', true); await until(() => opened.sse === 1)"
page certificate node "return (await fetch('/api/v1/fetch/config/$KEY')).text()"
said '"one"'

step "fetch reads a stream with a token, and what the answer's header says"
trusted token "return (await stream('fetch', '$WATCH', '$TOKEN',
	{'X-Conflux-Label-Zone': 'eu'})) > 0"
said true
trusted token "const a = await fetch('$NODE/api/v1/fetch/config/$KEY',
	{headers: {Authorization: 'Bearer $TOKEN'}});
	return [await a.text(), a.headers.get('etag') !== null,
		a.headers.get('x-conflux-version')]"
said '["one",true,"1"]'
page token node "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
said '"h2"'

step "a WebSocket with the token in its first message"
trusted token "return socket('ws', '$SOCKET', '$TOKEN', {keys: ['$KEY']})"
said '"subscribed"'

step "all are told the same"
publish two three
for name in fetch ws; do told token $name 2; done
told certificate sse 2
page certificate node "await until(() => told.own.length === 2); return told.own.map(c => c.version)"
said '[2,3]'

step "a page of an origin that is not named reads nothing, and changes nothing"
stranger token "return fetch('$NODE/api/v1/fetch/config/$KEY',
	{headers: {Authorization: 'Bearer $TOKEN'}}).then(a => a.status, e => e.name)"
said '"TypeError"'
stranger token "return fetch('$NODE/api/v1/signing-key').then(a => a.status, e => e.name)"
said '"TypeError"'
stranger token "return socket('ws', '$SOCKET', '$TOKEN', {keys: ['$KEY']})"
said '"refused"'
stranger certificate "return socket('ws', '$SOCKET', '', {keys: ['$KEY']})"
said '"refused"'
stranger certificate "events('sse', '$WATCH', true);
	await until(() => state.sse === 'closed'); return [opened.sse, told.sse.length]"
said '[0,0]'
# As a form would: the browser sends it, with its certificate, whatever the answer is.
ATTACK="return fetch('$NODE/api/v1/mgt/configs/$ID/publish', {method: 'POST', mode: 'no-cors',
	credentials: 'include', body: JSON.stringify({content: 'evil'})}).then(a => a.type)"
stranger certificate "$ATTACK"
said '"opaque"'
stranger certificate "const f = document.createElement('form'), i = document.createElement('input');
	f.method = 'POST'; f.enctype = 'text/plain'; f.target = 'there';
	f.action = '$NODE/api/v1/mgt/configs/$ID/publish';
	i.name = '{\"content\": \"evil'; i.value = '\"}'; f.append(i);
	const w = document.createElement('iframe'); w.name = 'there';
	document.body.append(w, f);
	const done = new Promise(go => { w.onload = go; }); f.submit(); await done"
ask GET "$URL/api/v1/mgt/configs/$ID/versions"
is "$(field '[.versions[].version_id] | max')" 3 "versions"
trusted certificate "return fetch('$NODE/api/v1/mgt/configs/$ID/publish', {method: 'POST',
	credentials: 'include', headers: {'Content-Type': 'application/json'},
	body: '{\"content\": \"named\"}'}).then(a => a.status)"
said 200
told certificate sse 3
told token fetch 3
told token ws 3

step "the node is killed; what happens while no page finds it is not missed"
stop_daemon KILL
trusted token "await until(() => state.fetch.startsWith('lost') && state.ws === 'closed 1006')"
trusted certificate "await until(() => state.sse === 'connecting')"
node_at "$(free_port)"
publish five six
stop_daemon TERM
node_at "$NODE_PORT"
publish seven
told certificate sse 6
trusted certificate "return opened.sse"
said 2
page certificate node "await until(() => told.own.length >= 6); return told.own.map(c => c.version)"
said '[2,3,4,5,6,7]'
trusted token "return (await stream('fetch', '$WATCH&since=' + told.fetch.at(-1).revision,
	'$TOKEN')) > 0"
said true
told token fetch 6
trusted token "return socket('ws', '$SOCKET', '$TOKEN',
	{keys: ['$KEY'], since: told.ws.at(-1).revision})"
said '"subscribed"'
told token ws 6

step "a node that stops says so, and an EventSource that comes back goes on"
publish eight
told certificate sse 7
told token ws 7
stop_daemon TERM
trusted token "await until(() => state.fetch === 'ended' && state.ws === 'closed 1001')"
node_at "$NODE_PORT"
publish nine
told certificate sse 8

step "a token that is taken back ends the page's stream"
ask POST "$URL/api/v1/tokens" -d '{"name": "page", "read_only": true}'
yes 201
trusted token "return (await stream('other', '$WATCH', '$(field .token)')) > 0"
said true
ask DELETE "$URL/api/v1/tokens/page"
yes 204
trusted token "await until(() => state.other === 'ended'); return told.other.length"
said 0

kill "$DRIVER"
wait "$DRIVER" 2>/dev/null || true
