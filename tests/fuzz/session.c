/*
 * What begins a session of two nodes: refused, or the same bytes again; and no frame
 * that rpc or ship would take is one.
 */
#include <stdint.h>

#include "node/session.h"
#include "rpc/frame.h"
#include "ship/frame.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	AUTO_BUF again = BUF_NONE;
	struct err err = { 0 };
	struct ship_frame ship;
	struct rpc_frame rpc;
	uint64_t own, other;

	if (session_hello_decode(in, &own, &other, &err)) {
		must(err.code == E_INVALID && err.text[0]);
		return 0;
	}
	must(session_hello_is(in) && own);
	must(rpc_frame_decode(in, &rpc, NULL) && ship_frame_decode(in, &ship, NULL));
	session_hello_encode(&again, own, other);
	must(str_eq(buf_view(&again), in));
	return 0;
}
