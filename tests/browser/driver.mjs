// Chromium with pages of two origins, told over HTTP what the pages do.
//
//	node driver.mjs NODE FOLDER
//
// NODE is the origin of the node that the pages ask, FOLDER has ops.pem and ops.key.
// Prints the port of its server, which serves the page (page.html with page.js) at
// http://localhost:PORT and at http://127.0.0.1:PORT, two origins, and takes
//
//	POST /do/CONTEXT/WHERE	body: the body of an async function
//
// CONTEXT is `certificate` (the browser has one for NODE) or `token` (it has none);
// WHERE is the host of the page, or `node`: a page of the node itself.  The page is
// opened when it is first asked for.  The answer is what the function returned, as
// JSON; 500 and the text of the error where it threw.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.MODULES}/`)("playwright-core");
const [node, folder] = process.argv.slice(2);
const script = readFileSync(new URL("page.js", import.meta.url));

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
});
const contexts = {
	certificate: await browser.newContext({
		ignoreHTTPSErrors: true,
		clientCertificates: [{
			origin: node,
			certPath: `${folder}/ops.pem`, keyPath: `${folder}/ops.key`,
		}],
	}),
	token: await browser.newContext({ ignoreHTTPSErrors: true }),
};

const pages = new Map();
async function pageOf(context, where) {
	const name = `${context}/${where}`;
	if (!pages.has(name)) {
		const page = await contexts[context].newPage();
		page.on("console", (m) => console.error(`${name}: ${m.text()}`));
		await page.goto(where === "node" ? `${node}/livez` :
			`http://${where}:${server.address().port}/`);
		if (where === "node")
			await page.addScriptTag({ content: String(script) });
		pages.set(name, page);
	}
	return pages.get(name);
}

async function run(context, where, body) {
	const page = await pageOf(context, where);
	return page.evaluate(`(async () => { ${body} })()`);
}

const server = createServer(async (request, answer) => {
	const parts = request.url.split("/");
	let body = "";
	if (parts[1] !== "do") {
		answer.setHeader("Content-Type", parts[1] === "page.js" ?
			"text/javascript" : "text/html");
		answer.end(parts[1] === "page.js" ? script :
			"<!doctype html><script src=page.js></script>");
		return;
	}
	for await (const piece of request)
		body += piece;
	try {
		const result = await run(parts[2], parts[3], body);
		answer.end(JSON.stringify(result ?? null));
	} catch (e) {
		answer.statusCode = 500;
		answer.end(String(e));
	}
});
server.listen(0, () => console.log(server.address().port));
process.on("SIGTERM", async () => {
	await browser.close();
	process.exit(0);
});
