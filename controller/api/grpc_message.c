/* Messages: see grpc_message.h. */
#include "api/grpc_message.h"

#include <ctype.h>

#include "base/hex.h"
#include "gen/proto/status.pb-c.h"
#include "http/wire/grpc.h"

#include "base/banned.h"

#define DOMAIN "gitops.conflux.io"

/* ---- decoding ---- */

static void *take(void *data, size_t n)
{
	return arena_alloc(data, n);
}

static void let_be(void *data, void *p)
{
	(void)data;
	(void)p;
}

static bool is_well_formed(const ProtobufCMessage *m);

static bool member_is_text(const ProtobufCFieldDescriptor *f, const void *at)
{
	const char *text;
	const ProtobufCMessage *below;

	if (f->type == PROTOBUF_C_TYPE_STRING) {
		text = *(char *const *)at;
		return !text || str_is_utf8(str_of(text));
	}
	below = *(ProtobufCMessage *const *)at;
	return !below || is_well_formed(below);
}

/* Protocol buffers' third version wants UTF-8, and protobuf-c does not look. */
static bool field_is_text(const ProtobufCFieldDescriptor *f,
			  const ProtobufCMessage *m)
{
	const char *at = (const char *)m + f->offset;
	const char *count = (const char *)m + f->quantifier_offset;

	if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
		return true;
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
	    *(const uint32_t *)count != f->id)
		return true;
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return member_is_text(f, at);
	for (size_t i = 0; i < *(const size_t *)count; i++)
		if (!member_is_text(f, *(const char *const *)at + i * sizeof(void *)))
			return false;
	return true;
}

/* No message of ours holds one of its own type, so this ends. */
static bool is_well_formed(const ProtobufCMessage *m)
{
	/* No field has number 0, and protobuf-c takes it for one that it does not
	 * know. */
	for (unsigned i = 0; i < m->n_unknown_fields; i++)
		if (m->unknown_fields[i].tag == 0)
			return false;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++)
		if (!field_is_text(&m->descriptor->fields[i], m))
			return false;
	return true;
}

enum code grpc_take_message(const ProtobufCMessageDescriptor *type,
			    struct str bytes, struct arena *arena,
			    const ProtobufCMessage **out, struct err *err)
{
	ProtobufCAllocator allocator = { take, let_be, arena };
	const ProtobufCMessage *m = protobuf_c_message_unpack(
		type, &allocator, bytes.n, (const uint8_t *)bytes.p);

	if (!m)
		return err_set(err, E_INTERNAL, "the message is no %s",
			       type->name);
	if (!is_well_formed(m))
		return err_set(err, E_INTERNAL, "%s: a text is not UTF-8, or a "
			       "field has number 0", type->name);
	*out = m;
	return OK;
}

/* ---- encoding ---- */

struct appending {
	ProtobufCBuffer base;            /* first */
	struct buf *to;
};

static void append(ProtobufCBuffer *buffer, size_t n, const uint8_t *bytes)
{
	struct appending *a = (struct appending *)buffer;

	buf_add(a->to, bytes, n);
}

void grpc_put_begin(struct buf *out, const ProtobufCMessage *m, size_t more)
{
	struct appending a = { .base = { append }, .to = out };
	size_t n = protobuf_c_message_get_packed_size(m);

	must(n + more <= UINT32_MAX);
	buf_reserve(out, GRPC_HEAD + n);
	grpc_frame_head(buf_extend(out, GRPC_HEAD), (uint32_t)(n + more));
	protobuf_c_message_pack_to_buffer(m, &a.base);
}

void grpc_put_message(struct buf *out, const ProtobufCMessage *m)
{
	grpc_put_begin(out, m, 0);
}

/* ---- errors ---- */

/* "managed-by-other" as MANAGED_BY_OTHER. */
static void reason_of(char out[48], enum code code)
{
	const char *slug = code_slug(code);
	size_t i;

	for (i = 0; slug[i] && i < 47; i++)
		out[i] = slug[i] == '-' ? '_' : (char)toupper(slug[i]);
	out[i] = '\0';
}

/* Not where a write may have happened: that is for the caller to decide. */
static bool helps_to_retry(enum code code)
{
	return code == E_UNAVAILABLE || code == E_BUSY ||
	       code == E_NOT_LEADER || code == E_RATE || code == E_NOT_YET;
}

/* protobuf-c has no const. */
static char *mutable(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* A text that was cut may end within a character, which no string may. */
static char *text_of(const char *text, const char *otherwise)
{
	return mutable(str_is_utf8(str_of(text)) ? text : otherwise);
}

static void pack_any(struct arena *arena, const ProtobufCMessage *m,
		     Google__Rpc__Any *out)
{
	google__rpc__any__init(out);
	out->type_url = mutable(arena_printf(arena, "type.googleapis.com/%s",
					     m->descriptor->name).p);
	out->value.len = protobuf_c_message_get_packed_size(m);
	out->value.data = arena_alloc(arena, out->value.len + 1);
	protobuf_c_message_pack(m, out->value.data);
}

static void pack_info(struct arena *arena, const struct err *err, struct str trace,
		      Google__Rpc__Any *out)
{
	Google__Rpc__ErrorInfo__MetadataEntry entries[2], *entry[2];
	Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
	char reason[48];

	reason_of(reason, err->code);
	for (int i = 0; i < 2; i++) {
		google__rpc__error_info__metadata_entry__init(&entries[i]);
		entry[i] = &entries[i];
	}
	entries[0].key = mutable("trace");
	entries[0].value = mutable(trace.p);
	entries[1].key = mutable("hint");
	entries[1].value = text_of(err->hint, "");
	info.reason = reason;
	info.domain = mutable(DOMAIN);
	info.n_metadata = err->hint[0] ? 2 : 1;
	info.metadata = entry;
	pack_any(arena, &info.base, out);
}

static void pack_retry(struct arena *arena, unsigned seconds,
		       Google__Rpc__Any *out)
{
	Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
	Google__Rpc__Duration delay = GOOGLE__RPC__DURATION__INIT;

	delay.seconds = MAX(seconds, 1u);
	retry.retry_delay = &delay;
	pack_any(arena, &retry.base, out);
}

void grpc_details(struct buf *out, struct arena *arena, const struct err *err,
		  struct str trace, unsigned retry_after_s)
{
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	Google__Rpc__Any anys[2], *any[2] = { &anys[0], &anys[1] };
	uint8_t *bytes;
	size_t n;

	pack_info(arena, err, trace, &anys[0]);
	pack_retry(arena, retry_after_s, &anys[1]);
	status.code = code_grpc(err->code);
	status.message = text_of(err->text, code_text(err->code));
	status.n_details = helps_to_retry(err->code) ? 2 : 1;
	status.details = any;
	n = google__rpc__status__get_packed_size(&status);
	bytes = arena_alloc(arena, n + 1);
	google__rpc__status__pack(&status, bytes);
	base64_text(out, str_n(bytes, n));
	/* Without padding, as gRPC sends it. */
	while (out->n && out->p[out->n - 1] == '=')
		buf_cut(out, out->n - 1);
}
