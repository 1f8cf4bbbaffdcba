/*
 * Frames of RPC: refused, or encoded again to equal bytes; and a peer that sends
 * whatever it likes to a node with open calls, frame by frame (a byte with the
 * length before each): no crash, every call ends once, nothing is left over.
 */
#include <stdint.h>

#include "rpc/frame.h"
#include "rpc/rpc.h"

#include "base/banned.h"

#define CALLS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned ended;
static unsigned sends;
static struct rpc *rpc;

static void one_frame(struct str in)
{
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct rpc_frame f, back;

	if (rpc_frame_decode(in, &f, NULL))
		return;
	/* An unknown code becomes another, so the first round may differ. */
	rpc_frame_encode(&once, &f);
	must(rpc_frame_decode(buf_view(&once), &back, NULL) == OK);
	rpc_frame_encode(&twice, &back);
	must(str_eq(buf_view(&once), buf_view(&twice)));
}

static bool take(void *unused, uint64_t peer, struct str frame)
{
	struct rpc_frame f;

	must(rpc_frame_decode(frame, &f, NULL) == OK);
	return ++sends % 4 != 0;
}

static void done(struct rpc_call *call, uint64_t now_ms, enum code rc,
		 struct str answer, const struct err *err)
{
	must(rc == err->code || rc == OK);
	ended++;
}

/* Method 1 answers at once, 2 never. */
static void echo(void *unused, uint64_t now_ms, const struct rpc_request *q)
{
	must(rpc_answer(rpc, now_ms, q->token, q->body));
}

static void hang(void *unused, uint64_t now_ms, const struct rpc_request *q)
{
}

static void one_peer(struct str in)
{
	struct rpc_config config;
	struct rpc_call calls[CALLS] = { 0 };
	uint64_t now = 1000;

	rpc_config_defaults(&config);
	config.host.send = take;
	config.calls_max = 4;
	rpc = rpc_new(&config);
	rpc_handle(rpc, 1, &(struct rpc_method){ .handle = echo });
	rpc_handle(rpc, 2, &(struct rpc_method){ .handle = hang });
	must(rpc_peer_up(rpc, 7, NULL) == OK);
	ended = sends = 0;
	for (unsigned i = 0; i < CALLS; i++) {
		calls[i] = (struct rpc_call){ .peer = 7, .method = 1,
					      .timeout_ms = 50 + 10 * i,
					      .answer_max = 20, .done = done };
		must(rpc_call(rpc, now, &calls[i], NULL) == OK);
	}
	while (in.n) {
		size_t n = MIN((size_t)(unsigned char)in.p[0], in.n - 1);

		if (rpc_receive(rpc, now, 7, str_n(in.p + 1, n), NULL))
			break;
		in = str_from(in, n + 1);
		now += 7;
		rpc_timeout(rpc, now);
		if (now % 2)
			rpc_writable(rpc, now, 7);
	}
	rpc_free(&rpc);
	must(ended == CALLS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	one_frame(str_n(data, size));
	one_peer(str_n(data, size));
	return 0;
}
