/*
 * Snapshots as libconflux reads them.  The checksum is made right first, so that what
 * stands behind it is reached; a snapshot that is taken is written again as it was,
 * but for names that are not asked for.
 */
#include "client/sdk/own.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cfx *new_client(void)
{
	struct cfx_options o = CFX_OPTIONS_INIT;
	struct cfx *cfx = NULL;

	o.endpoints = "http://127.0.0.1:1";
	o.tenant = "t", o.application = "a", o.environment = "e";
	o.configs = "x,y";
	o.boot = CFX_BOOT_AT_ONCE;
	o.mode = CFX_MODE_LOOP;
	must(cfx_open(&o, &cfx, NULL) == CFX_OK);
	return cfx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cfx *cfx = new_client();
	struct bytes all = { 0 }, again = { 0 };
	struct cfx_error error = { 0 };
	enum cfx_code rc;

	must(bytes_add(&heap_of_libc, &all, str_n(data, size)));
	if (all.n >= 32)
		must(sdk_sha256(str_n(all.p, all.n - 32),
				(uint8_t *)all.p + all.n - 32));
	rc = snapshot_decode(cfx, bytes_view(&all), &error);
	must(rc == CFX_OK || rc == CFX_E_CORRUPT || rc == CFX_E_USAGE ||
	     rc == CFX_E_PARSE);
	for (unsigned i = 0; rc && i < cfx->names->n; i++)
		must(!cfx->configs[i].staged);
	if (rc == CFX_OK) {
		must(commit(cfx, "snapshot", &error) == CFX_OK);
		must(snapshot_encode(cfx, &again, &error));
		must(again.n <= all.n);
	}
	bytes_fini(&heap_of_libc, &all);
	bytes_fini(&heap_of_libc, &again);
	cfx_close(cfx);
	return 0;
}
