/*
 * gRPC: whatever the bytes of a call are, and in whatever pieces they come, its
 * messages are the same, each of them is refused or is the same again after it was
 * written, and none is longer than allowed.
 *
 * The first byte says of which type the messages are, the second how long pieces are;
 * what follows is frames, and is taken for the text of a header field too.
 */
#include <stdint.h>

#include "api/grpc_message.h"
#include "gen/proto/conflux.pb-c.h"
#include "gen/proto/health.pb-c.h"
#include "gen/proto/reflection.pb-c.h"
#include "gen/proto/status.pb-c.h"
#include "http/wire/grpc.h"

#include "base/banned.h"

#define MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
	&conflux__v1__fetch_config_request__descriptor,
	&conflux__v1__watch_request__descriptor,
	&conflux__v1__publish_request__descriptor,
	&conflux__v1__rollback_request__descriptor,
	&grpc__health__v1__health_check_request__descriptor,
	&grpc__reflection__v1__server_reflection_request__descriptor,
	&google__rpc__status__descriptor,
	&conflux__v1__acknowledge_request__descriptor,
};

static void message(const ProtobufCMessageDescriptor *type, struct str bytes)
{
	AUTO_ARENA arena = arena_new(0);
	AUTO_BUF once = BUF_NONE, twice = BUF_NONE;
	const ProtobufCMessage *m, *again;
	struct err err = { 0 };

	if (grpc_take_message(type, bytes, arena, &m, &err)) {
		must(err.code == E_INTERNAL && err.text[0]);
		return;
	}
	grpc_put_message(&once, m);
	must(grpc_take_message(type, str_from(buf_view(&once), GRPC_HEAD), arena,
			       &again, &err) == OK);
	grpc_put_message(&twice, again);
	must(str_eq(buf_view(&once), buf_view(&twice)));
}

/* The messages, each behind its length; the code at the end. */
static enum code frames(struct str in, size_t piece, struct buf *out,
			const ProtobufCMessageDescriptor *type)
{
	struct grpc_reader rd;
	enum code rc = OK;
	struct err err;

	grpc_reader_init(&rd, MAX_BYTES);
	while (in.n && !rc) {
		struct str some = str_first(in, piece);

		in = str_from(in, some.n);
		while (some.n && !rc) {
			bool whole;

			rc = grpc_read(&rd, &some, &whole, &err);
			if (rc || !whole)
				continue;
			must(rd.message.n <= MAX_BYTES);
			buf_printf(out, "%zu:", rd.message.n);
			buf_str(out, buf_view(&rd.message));
			if (type)
				message(type, buf_view(&rd.message));
		}
	}
	grpc_reader_fini(&rd);
	return rc;
}

static void fields(struct str in)
{
	AUTO_BUF out = BUF_NONE;
	uint64_t ms;

	if (grpc_timeout_parse(in, &ms))
		must(in.n >= 2 && in.n <= 9);
	grpc_message_encode(&out, in);
	for (size_t i = 0; i < out.n; i++)
		must(out.p[i] >= 0x20 && out.p[i] <= 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF whole = BUF_NONE, pieces = BUF_NONE;
	struct str in;

	if (size < 2)
		return 0;
	in = str_n(data + 2, size - 2);
	must(frames(in, SIZE_MAX, &whole, types[data[0] % ARRAY_LEN(types)]) ==
	     frames(in, 1 + data[1] % 16, &pieces, NULL));
	must(str_eq(buf_view(&whole), buf_view(&pieces)));
	fields(in);
	return 0;
}
