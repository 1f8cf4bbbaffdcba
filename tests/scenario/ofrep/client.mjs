// What an application does with OpenFeature's SDK, each thing told in a line.
//
//	client.mjs BASE_URL TOKEN server		the server SDK: one flag a request
//	client.mjs BASE_URL TOKEN denied		with a token that is none
//	client.mjs BASE_URL TOKEN web			the web SDK: all flags, polled; told of
//							changes until a flag `stop` is true
import { createRequire } from 'node:module';
import process from 'node:process';

// Modules lie where the scenario installed them.
const load = createRequire(`${process.env.MODULES}/`);
const [baseUrl, token, what] = process.argv.slice(2);
const headers = [['Authorization', `Bearer ${token}`]];

function tell(name, d) {
	console.log(name, JSON.stringify(d.value), d.reason, d.variant ?? '-',
		d.errorCode ?? '-', JSON.stringify(d.flagMetadata ?? {}));
}

async function server() {
	const { OpenFeature } = load('@openfeature/server-sdk');
	const { OFREPProvider } = load('@openfeature/ofrep-provider');

	await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
	const client = OpenFeature.getClient();
	const eu = { targetingKey: 'user-1', region: 'eu' };

	tell('dark', await client.getBooleanDetails('dark', false));
	tell('dark-eu', await client.getBooleanDetails('dark', true, eu));
	tell('limit', await client.getNumberDetails('limit', 1));
	tell('title', await client.getStringDetails('title', 'none'));
	tell('ui', await client.getObjectDetails('ui', {}));
	tell('ui.theme', await client.getStringDetails('ui.theme', 'none'));
	tell('switch', await client.getBooleanDetails('switch', true));
	tell('missing', await client.getBooleanDetails('missing', true));
	tell('targeted', await client.getBooleanDetails('targeted', false));
	tell('type', await client.getBooleanDetails('limit', true));
}

async function denied() {
	const { OpenFeature } = load('@openfeature/server-sdk');
	const { OFREPProvider } = load('@openfeature/ofrep-provider');

	await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
	const d = await OpenFeature.getClient().getBooleanDetails('dark', false);

	console.log(d.value, d.reason, d.errorMessage ?? d.errorCode);
}

async function web() {
	const { OpenFeature, ProviderEvents } = load('@openfeature/web-sdk');
	const { OFREPWebProvider } = load('@openfeature/ofrep-web-provider');
	const provider = new OFREPWebProvider({
		baseUrl, headers, cacheMode: 'disabled', pollInterval: 100,
		changeDetection: 'polling',
	});

	await OpenFeature.setContext({ targetingKey: 'user-1' });
	await OpenFeature.setProviderAndWait(provider);
	const client = OpenFeature.getClient();

	tell('dark', client.getBooleanDetails('dark', false));
	tell('old', client.getBooleanDetails('old', true));
	tell('switch', client.getBooleanDetails('switch', true));
	tell('targeted', client.getBooleanDetails('targeted', false));
	tell('missing', client.getBooleanDetails('missing', true));
	await OpenFeature.setContext({ targetingKey: 'user-1', region: 'eu' });
	tell('dark-eu', client.getBooleanDetails('dark', true));
	await OpenFeature.setContext({ targetingKey: 'user-1' });
	console.log('polling');
	await new Promise((done) => {
		OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, (e) => {
			console.log('changed', [...e.flagsChanged].sort().join(','));
			tell('dark', client.getBooleanDetails('dark', false));
			if (client.getBooleanValue('stop', false))
				done();
		});
	});
	await OpenFeature.close();
}

await { server, denied, web }[what]();
