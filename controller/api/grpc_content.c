/* See grpc_content.h. */
#include "api/grpc_content.h"

#include "api/grpc_message.h"
#include "base/mem.h"

#include "base/banned.h"

#define BYTES_FIELD 2                    /* its wire type */
/* While less waits, there is a chunk more: more than a server gathers before it sends, for
 * which no drain comes. */
#define WAITS_MAX (BLOB_CHUNK / 2)

struct grpc_content {
	struct grpc_call *call;
	struct sha256 sha;
	uint64_t size, at;
	char tenant[64];
};

static void put_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_c(out, (char)(v | 0x80));
	buf_c(out, (char)v);
}

static unsigned field_of(const ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor,
								"content");

	must(f && f->type == PROTOBUF_C_TYPE_BYTES);
	return f->id;
}

struct grpc_content *grpc_content_new(struct grpc_call *call, struct kv_txn *txn,
				      const ProtobufCMessage *m, struct str tenant,
				      const struct sha256 *sha, uint64_t size,
				      struct buf *out)
{
	struct grpc_content *c;
	AUTO_BUF field = BUF_NONE;
	struct str first;
	struct err err;

	if (view_chunk(txn, tenant, sha, 0, &first, &err))
		return NULL;
	c = NEW(struct grpc_content);
	must(str_copy(c->tenant, sizeof(c->tenant), tenant));
	c->call = call;
	c->sha = *sha;
	c->size = size;
	put_varint(&field, field_of(m) << 3 | BYTES_FIELD);
	put_varint(&field, size);
	grpc_put_begin(out, m, field.n + size);
	buf_str(out, buf_view(&field));
	return c;
}

void grpc_content_free(struct grpc_content **content)
{
	free(TAKE(*content));
}

static enum code send_chunk(struct grpc_content *c, struct err *err)
{
	struct api_loop *at = caller_of(grpc_request(c->call))->at;
	struct kv_txn *txn;
	struct str chunk;
	enum code rc = view_now(at->view, &txn, err);

	if (rc == OK)
		rc = view_chunk(txn, str_of(c->tenant), &c->sha,
				(uint32_t)(c->at / BLOB_CHUNK), &chunk, err);
	if (rc || chunk.n == 0) {
		err_set(err, E_UNAVAILABLE, "content is no longer stored, of which a "
			"part was sent");
		return err_hint(err, "ask again: there is a newer version");
	}
	grpc_send_frames(c->call, str_first(chunk, c->size - c->at));
	c->at += chunk.n;
	return OK;
}

enum code grpc_content_go(struct grpc_content *c, bool *whole, struct err *err)
{
	enum code rc = OK;

	while (rc == OK && c->at < c->size && grpc_pending(c->call) < WAITS_MAX)
		rc = send_chunk(c, err);
	*whole = rc == OK && c->at >= c->size;
	return rc;
}
