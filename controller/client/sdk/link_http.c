/* Answers of HTTP/1.1 by http-parser, which allocates nothing: see link.h. */
#include <stdlib.h>

#include "client/sdk/own.h"

#include "base/banned.h"

static struct link *link_of(http_parser *http)
{
	return http->data;
}

static int on_begin(http_parser *http)
{
	struct link *l = link_of(http);
	struct bytes body = l->answer.body, lines = l->answer.lines;

	body.n = lines.n = 0;
	l->answer = (struct answer){ .body = body, .lines = lines };
	l->field[0] = l->value[0] = '\0';
	l->is_value = false;
	return l->is_done;
}

static void append(char *to, size_t size, const char *p, size_t n)
{
	size_t at = strlen(to), fits = MIN(n, size - 1 - at);

	memcpy(to + at, p, fits);
	to[at + fits] = '\0';
}

static void copy(char *out, size_t size, const char *value)
{
	out[0] = '\0';
	append(out, size, value, strlen(value));
}

/* One that is no name that can be said again is none. */
static void copy_name(char *out, size_t size, const char *value)
{
	bool is_good = strlen(value) < size;

	for (const char *c = value; *c; c++)
		is_good &= *c > ' ' && *c <= '~';
	copy(out, size, is_good ? value : "");
}

/* A name or value that does not fit is cut, and then is none of these. */
static void end_header(struct link *l)
{
	struct answer *a = &l->answer;
	const char *f = l->field, *v = l->value;
	uint64_t n;

	l->is_value = false;
	if (strcasecmp(f, "etag") == 0) {
		copy(a->etag, sizeof(a->etag), v);
	} else if (strcasecmp(f, "content-type") == 0) {
		copy(a->content_type, sizeof(a->content_type), v);
	} else if (strcasecmp(f, "x-conflux-signature") == 0) {
		copy(a->signature, sizeof(a->signature), v);
	} else if (strcasecmp(f, "x-conflux-release") == 0) {
		copy_name(a->release, sizeof(a->release), v);
	} else if (strcasecmp(f, "x-conflux-version") == 0) {
		if (sdk_u64(str_of(v), &n))
			a->version = n;
	} else if (strcasecmp(f, "x-conflux-revision") == 0) {
		a->has_revision = sdk_u64(str_of(v), &a->revision);
	} else if (strcasecmp(f, "retry-after") == 0) {
		/* A date is not read: the usual wait does. */
		if (sdk_u64(str_of(v), &n))
			a->retry_after_s = (unsigned)MIN(n, (uint64_t)3600);
	}
	l->field[0] = l->value[0] = '\0';
}

/* Before a piece of a name or value; a NUL goes before another kind. */
static int keep_line(struct link *l, bool is_value, const char *p, size_t n)
{
	struct bytes *lines = &l->answer.lines;

	if (!l->keeps_all)
		return 0;
	l->has_stopped = (is_value != l->is_value && lines->n &&
			  !bytes_add(&l->net->heap, lines, str_n("", 1))) ||
		!bytes_add(&l->net->heap, lines, str_n(p, n));
	return l->has_stopped;
}

static int on_field(http_parser *http, const char *p, size_t n)
{
	struct link *l = link_of(http);
	int rc;

	if (l->is_head)
		return 0;                /* a trailer: who made it is not known */
	rc = keep_line(l, false, p, n);

	if (l->is_value)
		end_header(l);
	append(l->field, sizeof(l->field), p, n);
	return rc;
}

static int on_value(http_parser *http, const char *p, size_t n)
{
	struct link *l = link_of(http);
	int rc;

	if (l->is_head)
		return 0;
	rc = keep_line(l, true, p, n);
	l->is_value = true;
	if (memchr(p, '\0', n))
		return 1;                /* no header has such */
	append(l->value, sizeof(l->value), p, n);
	return rc;
}

static int on_head(http_parser *http)
{
	struct link *l = link_of(http);

	if (l->is_value)
		end_header(l);
	l->answer.status = (int)http->status_code;
	l->is_head = l->answer.status >= 200;
	/* The length that a 304 may name is that of the content (RFC 9110, 8.6). */
	return l->is_head && (l->is_bodiless || l->answer.status == 204 ||
			      l->answer.status == 304);
}

static int on_body(http_parser *http, const char *p, size_t n)
{
	struct link *l = link_of(http);
	bool is_whole = l->answer.status == 200 || l->keeps_all;

	if (l->answer.status == 200 && l->take) {
		l->has_stopped = !l->take(l->take_data, str_n(p, n));
		return l->has_stopped;
	}
	/* What a refusal says is cut rather than refused. */
	if (!is_whole) {
		n = MIN(n, ANSWER_TEXT_MAX - MIN(l->answer.body.n,
						 (size_t)ANSWER_TEXT_MAX));
	} else if (l->answer.body.n + n > l->body_max) {
		l->is_too_large = true;
		return 1;
	}
	l->has_stopped = !bytes_add(&l->net->heap, &l->answer.body, str_n(p, n));
	return l->has_stopped;
}

static int on_end(http_parser *http)
{
	struct link *l = link_of(http);

	if (l->is_head) {
		l->is_done = true;
		http_parser_pause(http, 1);
	}
	return 0;
}

static const http_parser_settings callbacks = {
	.on_message_begin = on_begin,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_message_complete = on_end,
};

void link_http_begin(struct link *l)
{
	http_parser_init(&l->http, HTTP_RESPONSE);
	l->http.data = l;
	l->is_head = l->is_done = l->is_value = false;
	l->is_too_large = l->has_stopped = l->is_garbled = false;
	l->answer.body.n = 0;
	l->answer.status = 0;
}

static void garbled(struct link *l, enum http_errno no, struct cfx_error *error)
{
	l->is_garbled = true;
	cfx_fail(error, CFX_E_UNAVAILABLE, "%s: no answer of HTTP (%s)", l->to->name,
		 http_errno_description(no));
}

bool link_http_take(struct link *l, const char *p, size_t n,
		    struct cfx_error *error)
{
	size_t taken = http_parser_execute(&l->http, &callbacks, p, n);
	enum http_errno no = HTTP_PARSER_ERRNO(&l->http);

	if (l->is_done) {
		/* Bytes that nobody asked for: the next answer is not known. */
		if (taken < n)
			l->is_spent = true;
		return true;
	}
	if (l->is_too_large)
		cfx_fail(error, CFX_E_TOO_LARGE, "%s: content of more than %zu "
			 "bytes (content_max)", l->to->name, l->body_max);
	else if (l->has_stopped)
		cfx_no_memory(error);
	else if (n == 0 && no == HPE_OK && !l->is_head)
		cfx_fail(error, CFX_E_UNAVAILABLE, "%s: the connection ended "
			 "before an answer", l->to->name);
	else if (n == 0 && no != HPE_OK)
		cfx_fail(error, CFX_E_UNAVAILABLE, "%s: the connection ended "
			 "within an answer", l->to->name);
	else if (no != HPE_OK || l->http.upgrade)
		garbled(l, no, error);
	else
		return true;
	return false;
}
