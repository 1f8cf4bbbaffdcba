/*
 * What fuzzers of the api share: requests that no connection has brought, and the
 * server's functions that handlers answer with.  The linker sends all calls here
 * (part.mk), where it is checked what they are given.  For one source of a program.
 *
 * A request is the lines of the input up to an empty one: the query, then headers.
 */
#ifndef TESTS_FUZZ_API_WORLD_H
#define TESTS_FUZZ_API_WORLD_H

#include <stdint.h>

#include "api/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct api api;
static struct api_loop at;

static const struct stream_addr peer = { .text = "192.0.2.1:4711", .host = "192.0.2.1",
					 .port = 4711 };

/* The request that is being handled, and what it was answered. */
static struct {
	struct request r;
	struct request_in in;
	struct caller caller;
	int status;                      /* 0: nothing yet */
	struct buf head;                 /* "name: value\n" */
} now;

/* ---- what the server does ---- */

void __wrap_answer(struct request *r, int status, const char *type, struct str body);
void __wrap_answer_header(struct request *r, const char *name, struct str value);
void __wrap_answer_header_u64(struct request *r, const char *name, uint64_t value);
void __wrap_answer_error(struct request *r, const struct err *err);

void __wrap_answer_header(struct request *r, const char *name, struct str value)
{
	must(r == &now.r && now.status == 0);
	for (size_t i = 0; i < value.n; i++)
		must((unsigned char)value.p[i] >= ' ' || value.p[i] == '\t');
	buf_printf(&now.head, "%s: ", name);
	buf_str(&now.head, value);
	buf_c(&now.head, '\n');
}

void __wrap_answer_header_u64(struct request *r, const char *name, uint64_t value)
{
	must(r == &now.r && now.status == 0);
	buf_printf(&now.head, "%s: %llu\n", name, (unsigned long long)value);
}

/* What calls itself JSON is. */
void __wrap_answer(struct request *r, int status, const char *type, struct str body)
{
	AUTO_ARENA arena = arena_new(0);
	struct value *v;
	struct err err;

	must(r == &now.r && now.status == 0 && status >= 200 && status < 600);
	must(!body.n || !type || str_find_str(str_of(type), STR("json")) == SIZE_MAX ||
	     doc_parse_json(body, arena, NULL, &v, &err) == OK);
	now.status = status;
}

void __wrap_answer_error(struct request *r, const struct err *err)
{
	must(r == &now.r && now.status == 0 && err->code && err->text[0]);
	must(code_http(err->code) >= 400 && code_http(err->code) < 500);
	now.status = code_http(err->code);
}

/* ---- requests ---- */

static inline void world_open(void)
{
	static const struct limits_rate none[LIMIT__COUNT];

	api.limits = limits_new(none);
	api.crowd = crowd_new(0);
	api.watches = crowd_new(0);
	at.api = &api;
}

static inline bool read_query(struct request *r, struct str target)
{
	struct url_param *params;
	struct str query;

	r->in->target = target;
	if (!url_split(target, &r->in->path, &query) ||
	    !url_query(r->arena, query, 1000, &params, &r->in->n_query))
		return false;
	r->in->query = params;
	return true;
}

static inline bool read_head(struct request *r, struct str query, struct str lines)
{
	struct http1_head head;
	AUTO_BUF block = BUF_NONE;
	struct err err;
	char *cooked;

	buf_z(&block, "GET /api/v1/watch?");
	buf_str(&block, query);
	buf_z(&block, " HTTP/1.1\r\nHost: conflux.example.org:8080\r\n");
	while (lines.n) {
		buf_str(&block, str_cut(&lines, '\n'));
		buf_z(&block, "\r\n");
	}
	buf_z(&block, "\r\n");
	cooked = arena_z(r->arena, buf_view(&block));
	if (http1_request(r->arena, cooked, block.n, &head, &err))
		return false;
	r->in->headers = head.headers;
	r->in->n_headers = head.n_headers;
	return read_query(r, head.target);
}

/* A request that root asks, of the head at the start of 'in', which is cut off; false:
 * the server would not have let it through. */
static inline bool world_request(struct str *in, struct arena *arena)
{
	size_t end = str_find_str(*in, STR("\n\n"));
	struct str head = end == SIZE_MAX ? *in : str_first(*in, end + 1);

	*in = end == SIZE_MAX ? STR_NONE : str_from(*in, end + 2);
	buf_reset(&now.head);
	now.status = 0;
	now.in = (struct request_in){ 0 };
	now.caller = (struct caller){
		.at = &at, .credential = STR("token root"),
		.subject = { .name = STR("token:root"), .role = ROLE_ROOT },
	};
	now.r = (struct request){ .in = &now.in, .peer = &peer, .arena = arena, .data = &now.caller,
				  .server_data = &at };
	return read_head(&now.r, str_cut(&head, '\n'), head);
}

/* Is each of them one, and is there room for all? */
static inline void must_be_labels(const struct labels *labels)
{
	struct err err;

	must(labels->n <= LABELS_MAX);
	for (size_t i = 0; i < labels->n; i++)
		must(label_check(labels->l[i].key, labels->l[i].value, &err) == OK);
}

static inline void must_be_places(const struct watch_spec *spec)
{
	struct err err;

	must(spec->n_keys <= WATCH_KEYS_MAX && spec->n_prefixes <= WATCH_KEYS_MAX);
	for (size_t i = 0; i < spec->n_keys; i++)
		must(address_check(&spec->keys[i], &err) == OK);
	for (size_t i = 0; i < spec->n_prefixes; i++)
		must(spec->prefixes[i].n <= ADDRESS_KEY_MAX);
	must_be_labels(&spec->client.labels);
	must(!spec->client.id.n || ack_instance_is_valid(spec->client.id));
}

#endif
