/*
 * What may be another by now in the files that the program named: authorities and
 * certificate, when TLS fails; the token, when it is refused.
 */
#include "client/sdk/own.h"

#include "base/banned.h"

void renew_tls(struct cfx *cfx)
{
	struct tls_setup fresh = { 0 };
	struct cfx_error error = { 0 };

	if (tls_setup_init(&fresh, &cfx->o, &error)) {
		tls_setup_fini(&fresh);
		cfx_trouble(cfx, &error);
		return;
	}
	tls_setup_fini(&cfx->net.tls);
	cfx->net.tls = fresh;
}

bool renew_token(struct cfx *cfx, int64_t now)
{
	struct bytes fresh = { 0 };
	bool same;

	if (!cfx->o.token_file || now - cfx->token_ms < 1000)
		return false;
	cfx->token_ms = now;
	if (sdk_read_file(&cfx->heap, cfx->o.token_file, 4096, &fresh, NULL))
		return false;
	while (fresh.n && (unsigned char)fresh.p[fresh.n - 1] <= ' ')
		fresh.n--;
	same = str_eq(bytes_view(&fresh), bytes_view(&cfx->token));
	for (size_t i = 0; i < fresh.n; i++)
		same |= fresh.p[i] <= ' ' || fresh.p[i] > '~';
	if (same) {
		heap_wipe(&cfx->heap, fresh.p, fresh.n);
		return false;
	}
	heap_wipe(&cfx->heap, cfx->token.p, cfx->token.n);
	cfx->token = fresh;
	return true;
}
