// What a page does to follow a node, in the three ways that browsers have.  Each has a
// name; told[name] has what it was told: { key, version, revision, end } of changes, in
// order, and opened[name] how often it got through.
const told = {}, opened = {}, state = {}, sources = {};

function hear(name, data, revision) {
	const { key, version, end } = data;
	told[name].push({ key, version, end, revision });
}

function begin(name) {
	told[name] ??= [];
	opened[name] ??= 0;
	state[name] = "connecting";
}

// EventSource: comes back by itself, with Last-Event-ID.
function events(name, url, withCredentials) {
	begin(name);
	const source = sources[name] = new EventSource(url, { withCredentials });
	source.onopen = () => { opened[name]++; state[name] = "open"; };
	source.onerror = () => {
		state[name] = source.readyState === EventSource.CLOSED ? "closed" :
			"connecting";
	};
	source.addEventListener("change", (e) =>
		hear(name, JSON.parse(e.data), Number(e.lastEventId)));
}

// fetch and a stream, for a token in a header.  Resolves when the stream has begun, with
// the revision that it begins after; goes on by itself until it ends.
async function stream(name, url, token, labels = {}) {
	begin(name);
	const answer = await fetch(url, {
		headers: { Authorization: `Bearer ${token}`, ...labels },
	});
	if (!answer.ok)
		return answer.status;
	opened[name]++;
	state[name] = "open";
	read(name, answer.body.pipeThrough(new TextDecoderStream()).getReader());
	return Number(answer.headers.get("X-Conflux-Revision"));
}

async function read(name, reader) {
	let rest = "";
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done)
				break;
			const blocks = (rest + value).split("\n\n");
			rest = blocks.pop();
			blocks.forEach((block) => take(name, block));
		}
		state[name] = "ended";
	} catch (e) {
		state[name] = `lost: ${e.name}`;
	}
}

function take(name, block) {
	const line = (word) => block.split("\n").find((l) => l.startsWith(`${word}: `))
		?.slice(word.length + 2);
	if (line("event") === "change")
		hear(name, JSON.parse(line("data")), Number(line("id")));
}

// WebSocket with the token in its first message, or none.  Resolves with the type of
// what is said to the subscription, or "refused".
function socket(name, url, token, subscription) {
	begin(name);
	return new Promise((resolve) => {
		const s = sources[name] = new WebSocket(url, "conflux.v1");
		s.onopen = () => {
			opened[name]++;
			if (token)
				s.send(JSON.stringify({ type: "hello", token }));
			s.send(JSON.stringify({ type: "subscribe", id: "a", ...subscription }));
		};
		s.onmessage = (e) => {
			const said = JSON.parse(e.data);
			if (said.type === "change")
				hear(name, said, said.revision);
			else if (said.type !== "hello" && said.type !== "bookmark")
				resolve(said.type);
			state[name] = "open";
		};
		s.onclose = (e) => {
			state[name] = `closed ${e.code}`;
			resolve("refused");
		};
	});
}

// Resolves when 'is' says so; looks again after each thing that may have changed it.
async function until(is) {
	while (!is())
		await new Promise((go) => setTimeout(go, 20));
}
