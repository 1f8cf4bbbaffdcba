/*
 * Calls over HTTP/2 (nghttp2): a number of them always under way.  Conflux and etcd
 * are asked by this one program, so that what a client costs is the same for both.
 *
 *	calls HOST:PORT PATH IN_FLIGHT CONNECTIONS SECONDS[:CALLS] BODY|- [NAME:VALUE ...]
 *
 * Ends after the time or so many calls.  BODY is a file: POST with what it holds, in
 * which the sixteen # are replaced by a number that is new in each call; - is GET.  Then
 * come header fields.  Each has to be answered 2xx.  Prints what load.h says.  Another
 * status, a grpc-status that is not 0 and a stream that is reset end it with an error: a
 * figure of which some failed would be none.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "load.h"

#include "base/clock.h"
#include "base/mem.h"

#include "base/banned.h"

#define WINDOW (1 << 30)
#define HEADERS_MAX 16
#define DIGITS 16
#define BODY_MAX (64u * 1024)

struct call {
	uint64_t sent_ns, number;
	size_t read;                     /* of the body */
	bool is_good;
	char status[8];                  /* where it is not */
};

static nghttp2_nv head[HEADERS_MAX];
static size_t n_head;
static struct buf body;
static size_t number_at;                 /* SIZE_MAX: none */
static uint64_t next;

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n,
		       int flags, void *data)
{
	struct connection *c = data;

	buf_add(&c->out, p, n);
	return (ssize_t)n;
}

/* The body with the call's number in it; what fits, the rest later. */
static ssize_t on_body(nghttp2_session *session, int32_t stream, uint8_t *p,
		       size_t n, uint32_t *flags, nghttp2_data_source *source,
		       void *data)
{
	struct call *call = source->ptr;
	char digits[DIGITS + 1];
	size_t at = call->read;

	n = MIN(n, body.n - at);
	memcpy(p, body.p + at, n);
	if (number_at != SIZE_MAX) {
		snprintf(digits, sizeof(digits), "%016llx",
			 (unsigned long long)call->number);
		for (size_t i = 0; i < DIGITS; i++)
			if (number_at + i >= at && number_at + i < at + n)
				p[number_at + i - at] = (uint8_t)digits[i];
	}
	call->read += n;
	if (call->read == body.n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static void ask(nghttp2_session *session, struct call *call, uint64_t now)
{
	nghttp2_data_provider provider = { .source.ptr = call,
					   .read_callback = on_body };
	int32_t rc;

	*call = (struct call){ .sent_ns = now, .number = next++ };
	rc = nghttp2_submit_request(session, NULL, head, n_head,
				    body.n ? &provider : NULL, call);
	if (rc < 0)
		load_die("%s", nghttp2_strerror(rc));
}

static bool is_name(const uint8_t *name, size_t n, const char *wanted)
{
	return n == strlen(wanted) && memcmp(name, wanted, n) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t n_name, const uint8_t *value,
		     size_t n_value, uint8_t flags, void *data)
{
	struct call *call = nghttp2_session_get_stream_user_data(
		session, frame->hd.stream_id);

	if (is_name(name, n_name, ":status")) {
		call->is_good = n_value == 3 && value[0] == '2';
		if (!call->is_good)
			snprintf(call->status, sizeof(call->status), "%.*s",
				 (int)n_value, value);
	}
	if (is_name(name, n_name, "grpc-status") && !is_name(value, n_value, "0"))
		load_die("a call ended with grpc-status %.*s", (int)n_value, value);
	return 0;
}

/* Why it is no success is what says what to do. */
static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
		   const uint8_t *p, size_t n, void *data)
{
	struct call *call = nghttp2_session_get_stream_user_data(session, stream);

	if (!call->is_good)
		load_die("a call was answered %s: %.*s", call->status, (int)n, p);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code,
		    void *data)
{
	struct call *call = nghttp2_session_get_stream_user_data(session, stream);
	uint64_t now = clock_mono_ns();

	if (code || !call->is_good)
		load_die("a call was answered %s; its stream ended with code %u",
			 *call->status ? call->status : "nothing", code);
	load_note(call->sent_ns, now);
	ask(session, call, now);
	return 0;
}

static void send_all(struct connection *c)
{
	int rc = nghttp2_session_send(c->data);

	if (rc)
		load_die("%s", nghttp2_strerror(rc));
	load_flush(c);
}

static void take(struct connection *c, const char *p, size_t n, uint64_t now)
{
	ssize_t rc = nghttp2_session_mem_recv(c->data, (const uint8_t *)p, n);

	if (rc < 0)
		load_die("%s", nghttp2_strerror((int)rc));
	send_all(c);
}

static nghttp2_session *session_of(struct connection *c)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
	};
	nghttp2_session_callbacks *calls;
	nghttp2_session *session;

	if (nghttp2_session_callbacks_new(&calls))
		load_die("no memory");
	nghttp2_session_callbacks_set_send_callback(calls, on_send);
	nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
	if (nghttp2_session_client_new(&session, calls, c))
		load_die("no memory");
	nghttp2_session_callbacks_del(calls);
	nghttp2_submit_settings(session, 0, settings, 2);
	nghttp2_session_set_local_window_size(session, 0, 0, WINDOW);
	return session;
}

static void add_header(const char *name, const char *value)
{
	if (n_head == HEADERS_MAX)
		load_die("%d header fields at most", HEADERS_MAX);
	head[n_head++] = (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value,
				       strlen(name), strlen(value),
				       NGHTTP2_NV_FLAG_NONE };
}

/* NAME:VALUE, taken apart in place. */
static void add_field(char *field)
{
	char *colon = *field ? strchr(field + 1, ':') : NULL, *value;

	if (!colon)
		load_die("%s is no NAME:VALUE", field);
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " ");
	add_header(field, value);
}

static void read_body(const char *path)
{
	const char *at;
	FILE *f;

	number_at = SIZE_MAX;
	if (strcmp(path, "-") == 0)
		return;
	f = fopen(path, "rb");
	if (!f)
		load_die("%s: %s", path, strerror(errno));
	body.n = fread(buf_extend(&body, BODY_MAX), 1, BODY_MAX, f);
	fclose(f);
	at = memmem(body.p, body.n, "################", DIGITS);
	if (at)
		number_at = (size_t)(at - body.p);
	if (getrandom(&next, sizeof(next), 0) != sizeof(next))
		load_die("getrandom");
}

int main(int argc, char **argv)
{
	struct call *calls;
	const char *limit;

	if (argc < 7) {
		fprintf(stderr, "usage: calls HOST:PORT PATH IN_FLIGHT CONNECTIONS "
			"SECONDS[:CALLS] BODY|- [NAME:VALUE ...]\n");
		return 2;
	}
	read_body(argv[6]);
	add_header(":method", body.n ? "POST" : "GET");
	add_header(":scheme", "http");
	add_header(":authority", argv[1]);
	add_header(":path", argv[2]);
	for (int i = 7; i < argc; i++)
		add_field(argv[i]);
	load_open("calls", argv[1], (unsigned)atoi(argv[4]),
		  (unsigned)atoi(argv[3]), atof(argv[5]));
	limit = strchr(argv[5], ':');
	load.limit = limit ? strtoull(limit + 1, NULL, 10) : 0;
	calls = mem_zero(load.in_flight * sizeof(*calls));
	for (unsigned i = 0; i < load.n; i++)
		load.connections[i]->data = session_of(load.connections[i]);
	for (unsigned i = 0; i < load.in_flight; i++)
		ask(load.connections[i % load.n]->data, &calls[i],
		    clock_mono_ns());
	for (unsigned i = 0; i < load.n; i++)
		send_all(load.connections[i]);
	load_run(take);
	load_print();
	return 0;
}
