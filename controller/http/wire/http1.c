/*
 * HTTP/1.1 messages: see http1.h.  This file alone includes http_parser.h.
 *
 * A block is looked at twice: line by line for what is refused (and to put
 * names into lower case), then by http-parser, which takes it apart.
 */
/* The library has an enum of our name. */
#define http_method http_parser_method
#include <http_parser.h>
#undef http_method
#include <pthread.h>

#include "http/wire/http1.h"

#include "base/banned.h"

#define HEADERS_MAX 100
#define SIZE_LINE_MAX 256
#define TRAILER_MAX 4096

const char *http_method_name(enum http_method m)
{
	static const char *const names[] = {
		[HTTP_M_GET] = "GET",	    [HTTP_M_HEAD] = "HEAD",
		[HTTP_M_POST] = "POST",	    [HTTP_M_PUT] = "PUT",
		[HTTP_M_PATCH] = "PATCH",   [HTTP_M_DELETE] = "DELETE",
		[HTTP_M_OPTIONS] = "OPTIONS", [HTTP_M_OTHER] = "OTHER",
	};

	must(m <= HTTP_M_OTHER);
	return names[m];
}

const char *http_reason(int status)
{
	switch (status) {
#define REASON(num, name, string) case num: return #string;
	HTTP_STATUS_MAP(REASON)
#undef REASON
	}
	return "";
}

const struct str *http_header_find(const struct http_header *h, size_t n,
				   struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(h[i].name, name))
			return &h[i].value;
	return NULL;
}

/* ---- the end of a block ---- */

enum code http1_find(struct str in, size_t max, size_t *scanned, size_t *len,
		     struct err *err)
{
	*len = 0;
	for (;;) {
		size_t start = *scanned;
		size_t line = str_find(str_from(in, start), '\n');
		size_t end = start + line;

		if (line == SIZE_MAX)
			break;
		if (line == 0 || in.p[end - 1] != '\r')
			return err_set(err, E_INVALID, "header: a line ends in a "
				       "bare LF; lines end in CR LF");
		*scanned = end + 1;
		if (line > 1)
			continue;
		/* One empty line before a request is let pass (RFC 9112, 2.2). */
		if (start == 0)
			continue;
		if (start == 2 && in.p[0] == '\r')
			return err_set(err, E_INVALID,
				       "header: empty lines before it");
		*len = end + 1;
		break;
	}
	if ((*len ? *len : in.n) > max) {
		err_set(err, E_HEADER_LARGE, "header: more than %zu bytes", max);
		return err_hint(err, "server.header_bytes is the limit");
	}
	return OK;
}

/* ---- what is refused ---- */

/* Bytes of a name (RFC 9110, 5.6.2) in lower case; 0: no such byte. */
static const char token[256] = {
	['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&',
	['\''] = '\'', ['*'] = '*', ['+'] = '+', ['-'] = '-', ['.'] = '.',
	['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',
	['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
	['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e',
	['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j',
	['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o',
	['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't',
	['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y',
	['Z'] = 'z',
	['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e',
	['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j',
	['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o',
	['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't',
	['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',
	['z'] = 'z',
};

static enum code refuse_name(const char *p, size_t n, size_t bad,
			     struct err *err)
{
	size_t shown = bad < 40 ? bad : 40;

	if (bad == 0 && (p[0] == ' ' || p[0] == '\t'))
		return err_set(err, E_INVALID, "header: a folded line");
	if (bad > 0 && bad < n && (p[bad] == ' ' || p[bad] == '\t'))
		return err_set(err, E_INVALID, "header %.*s: a space before the "
			       "colon", (int)shown, p);
	return err_set(err, E_INVALID, "header: a line without a name and colon");
}

/* The name of one line: in lower case, with its colon right behind it. */
static enum code check_line(char *p, size_t n, struct err *err)
{
	size_t i = 0;

	for (; i < n && token[(unsigned char)p[i]]; i++)
		p[i] = token[(unsigned char)p[i]];
	return i > 0 && i < n && p[i] == ':' ? OK : refuse_name(p, n, i, err);
}

/* All lines but the first and the empty last one. */
static enum code check_lines(char *block, size_t n, struct err *err)
{
	char *end = block + n - 2;
	char *p = memchr(block, '\n', n);

	for (p++; p < end;) {
		char *nl = memchr(p, '\n', (size_t)(end - p));
		enum code rc;

		/* http1_find saw each line end in CR LF. */
		must(nl);
		rc = check_line(p, (size_t)(nl - p - 1), err);
		if (rc)
			return rc;
		p = nl + 1;
	}
	return OK;
}

/* ---- taking apart ---- */

struct taking {
	struct arena *arena;
	struct http1_head *head;
	size_t cap;
	bool is_done, is_over;
};

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct taking *t = p->data;

	t->head->target = str_n(at, n);
	return 0;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct taking *t = p->data;
	struct http1_head *h = t->head;

	if (h->n_headers == HEADERS_MAX) {
		t->is_over = true;
		return 1;
	}
	h->headers = arena_grow(t->arena, h->headers, &t->cap, h->n_headers + 1,
				sizeof(*h->headers));
	h->headers[h->n_headers++] = (struct http_header){ str_n(at, n), STR("") };
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct taking *t = p->data;

	if (t->head->n_headers == 0)
		return 1;
	t->head->headers[t->head->n_headers - 1].value = str_trim(str_n(at, n));
	return 0;
}

/* 1: no body is looked for. */
static int on_complete(http_parser *p)
{
	struct taking *t = p->data;

	t->is_done = true;
	return 1;
}

static void set_limit(void)
{
	/* http1_find has bounded the block already. */
	http_parser_set_max_header_size(UINT32_MAX / 2);
}

static enum code take_apart(struct arena *arena, enum http_parser_type type,
			    char *block, size_t n, http_parser *p,
			    struct http1_head *out, struct err *err)
{
	static const http_parser_settings settings = {
		.on_url = on_url, .on_header_field = on_field,
		.on_header_value = on_value, .on_headers_complete = on_complete,
	};
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct taking t = { .arena = arena, .head = out };
	size_t used;

	pthread_once(&once, set_limit);
	http_parser_init(p, type);
	p->data = &t;
	used = http_parser_execute(p, &settings, block, n);
	if (t.is_over)
		return err_set(err, E_HEADER_LARGE, "header: more than %d lines",
			       HEADERS_MAX);
	if (HTTP_PARSER_ERRNO(p) != HPE_OK)
		return err_set(err, E_INVALID, "header: %s",
			       http_errno_description(HTTP_PARSER_ERRNO(p)));
	if (!t.is_done || used != n)
		return err_set(err, E_INVALID, "header: malformed");
	if (p->http_major != 1 || p->http_minor > 1)
		return err_set(err, E_UNSUPPORTED, "HTTP/%u.%u is not spoken here",
			       p->http_major, p->http_minor);
	out->minor = p->http_minor;
	return OK;
}

/* ---- what the headers say ---- */

struct said {
	unsigned hosts, lengths, codings;
	uint64_t length;
	bool close, keep_alive, upgrade, upgrades;
};

static void say_connection(struct said *s, struct str value)
{
	while (value.n > 0) {
		struct str word = str_trim(str_cut(&value, ','));

		if (str_eq_nocase(word, STR("close")))
			s->close = true;
		else if (str_eq_nocase(word, STR("keep-alive")))
			s->keep_alive = true;
		else if (str_eq_nocase(word, STR("upgrade")))
			s->upgrade = true;
	}
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

static enum code say(struct said *s, const struct http_header *h,
		     struct http1_head *head, struct err *err)
{
	struct str v = h->value;

	if (str_is(h->name, "host")) {
		s->hosts++;
	} else if (str_is(h->name, "connection")) {
		say_connection(s, v);
	} else if (str_is(h->name, "upgrade")) {
		s->upgrades = v.n > 0;
	} else if (str_is(h->name, "content-length")) {
		s->lengths++;
		if (!all_digits(v) || !str_u64(v, &s->length))
			return err_set(err, E_INVALID, "header content-length: "
				       "'%.*s' is no length",
				       STR_ARG(str_first(v, 40)));
	} else if (str_is(h->name, "transfer-encoding")) {
		s->codings++;
		if (!str_eq_nocase(v, STR("chunked")))
			return err_set(err, E_UNSUPPORTED, "header "
				       "transfer-encoding: '%.*s' is not known, "
				       "only chunked", STR_ARG(str_first(v, 40)));
	} else if (str_is(h->name, "expect")) {
		head->expect_continue = head->minor == 1 &&
			str_eq_nocase(v, STR("100-continue"));
	}
	return OK;
}

static enum code framing_of(const struct said *s, struct http1_head *head,
			    struct err *err)
{
	if (s->lengths > 1)
		return err_set(err, E_INVALID, "header content-length: there are "
			       "%u of them", s->lengths);
	if (s->codings > 1)
		return err_set(err, E_INVALID, "header transfer-encoding: there "
			       "are %u of them", s->codings);
	if (s->codings && s->lengths)
		return err_set(err, E_INVALID, "header: content-length beside "
			       "transfer-encoding");
	if (s->codings && head->minor == 0)
		return err_set(err, E_INVALID, "header transfer-encoding: HTTP/1.0 "
			       "has none");
	head->framing = s->codings ? HTTP1_CHUNKED :
		s->lengths && s->length ? HTTP1_LENGTH : HTTP1_EMPTY;
	head->length = s->length;
	head->keep_alive = head->minor == 1 ? !s->close :
		s->keep_alive && !s->close;
	head->upgrade = head->minor == 1 && s->upgrade && s->upgrades;
	return OK;
}

static enum code read_headers(struct http1_head *head, struct said *s,
			      struct err *err)
{
	for (size_t i = 0; i < head->n_headers; i++) {
		enum code rc = say(s, &head->headers[i], head, err);

		if (rc)
			return rc;
	}
	return framing_of(s, head, err);
}

/* ---- requests ---- */

static enum http_method method_of(unsigned m)
{
	switch (m) {
	case HTTP_GET: return HTTP_M_GET;
	case HTTP_HEAD: return HTTP_M_HEAD;
	case HTTP_POST: return HTTP_M_POST;
	case HTTP_PUT: return HTTP_M_PUT;
	case HTTP_PATCH: return HTTP_M_PATCH;
	case HTTP_DELETE: return HTTP_M_DELETE;
	case HTTP_OPTIONS: return HTTP_M_OPTIONS;
	}
	return HTTP_M_OTHER;
}

/* "http://host/path" is what proxies are asked; servers take it too (RFC 9112,
 * 3.2.2). */
static bool target_of(struct http1_head *head)
{
	static const char *const schemes[] = { "http://", "https://" };
	struct str t = head->target;

	for (unsigned i = 0; i < 2; i++) {
		struct str scheme = str_of(schemes[i]);
		size_t slash;

		if (!str_eq_nocase(str_first(t, scheme.n), scheme))
			continue;
		t = str_from(t, scheme.n);
		slash = str_find(t, '/');
		t = slash == SIZE_MAX ? STR("/") : str_from(t, slash);
		break;
	}
	head->target = t;
	return (t.n > 0 && t.p[0] == '/') ||
		(head->method == HTTP_M_OPTIONS && str_is(t, "*"));
}

enum code http1_request(struct arena *arena, char *block, size_t n,
			struct http1_head *out, struct err *err)
{
	size_t skip = n > 2 && block[0] == '\r' ? 2 : 0;
	struct said said = { 0 };
	http_parser p;
	enum code rc;

	*out = (struct http1_head){ 0 };
	block += skip, n -= skip;
	rc = check_lines(block, n, err);
	if (!rc)
		rc = take_apart(arena, HTTP_REQUEST, block, n, &p, out, err);
	if (rc)
		return rc;
	out->method = method_of(p.method);
	rc = read_headers(out, &said, err);
	if (rc)
		return rc;
	if (said.hosts > 1 || (said.hosts == 0 && out->minor == 1))
		return err_set(err, E_INVALID, "header host: there %s", said.hosts ?
			       "is more than one" : "is none");
	if (!target_of(out))
		return err_set(err, E_INVALID, "the target does not begin with /");
	return OK;
}

enum code http1_answer(struct arena *arena, char *block, size_t n,
		       enum http_method to, struct http1_head *out,
		       struct err *err)
{
	struct said said = { 0 };
	http_parser p;
	enum code rc;

	*out = (struct http1_head){ 0 };
	rc = check_lines(block, n, err);
	if (!rc)
		rc = take_apart(arena, HTTP_RESPONSE, block, n, &p, out, err);
	if (!rc)
		rc = read_headers(out, &said, err);
	if (rc)
		return rc;
	out->status = p.status_code;
	if (to == HTTP_M_HEAD || out->status / 100 == 1 || out->status == 204 ||
	    out->status == 304)
		out->framing = HTTP1_EMPTY;
	else if (out->framing == HTTP1_EMPTY && said.lengths == 0)
		out->framing = HTTP1_UNTIL_CLOSE;
	return OK;
}

/* ---- bodies ---- */

enum body_state {
	BODY_SIZE,                       /* no digit yet */
	BODY_DIGITS,
	BODY_EXTENSION,
	BODY_SIZE_LF,
	BODY_DATA,
	BODY_DATA_CR,
	BODY_DATA_LF,
	BODY_TRAILER,                    /* at the start of a line */
	BODY_TRAILER_LINE,
	BODY_TRAILER_LINE_LF,
	BODY_END_LF,
};

void http1_body_init(struct http1_body *b, const struct http1_head *head)
{
	*b = (struct http1_body){
		.framing = head->framing,
		.left = head->framing == HTTP1_LENGTH ? head->length :
			head->framing == HTTP1_UNTIL_CLOSE ? UINT64_MAX : 0,
		.state_ = BODY_SIZE,
		.is_done = head->framing == HTTP1_EMPTY,
	};
}

static enum code broken(struct err *err, const char *what)
{
	return err_set(err, E_INVALID, "chunked body: %s", what);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum code size_byte(struct http1_body *b, char c, struct err *err)
{
	int digit = hex_digit(c);

	if (++b->line_ > SIZE_LINE_MAX)
		return broken(err, "the line of a size is too long");
	if (b->state_ == BODY_EXTENSION) {
		if (c == '\r')
			b->state_ = BODY_SIZE_LF;
		else if ((unsigned char)c < ' ' && c != '\t')
			return broken(err, "a control byte in an extension");
	} else if (digit >= 0) {
		if (b->left >> 59)
			return broken(err, "a size that is too large");
		b->left = b->left << 4 | (unsigned)digit;
		b->state_ = BODY_DIGITS;
	} else if (b->state_ == BODY_SIZE) {
		return broken(err, "a chunk without a size");
	} else if (c == '\r') {
		b->state_ = BODY_SIZE_LF;
	} else if (c == ';') {
		b->state_ = BODY_EXTENSION;
	} else {
		return broken(err, "a size that is no hexadecimal number");
	}
	return OK;
}

static enum code trailer_byte(struct http1_body *b, char c, struct err *err)
{
	if (++b->line_ > TRAILER_MAX)
		return broken(err, "the trailer is too long");
	if (b->state_ == BODY_TRAILER_LINE_LF) {
		if (c != '\n')
			return broken(err, "a CR without LF in the trailer");
		b->state_ = BODY_TRAILER;
	} else if (c == '\r') {
		b->state_ = b->state_ == BODY_TRAILER ? BODY_END_LF :
			BODY_TRAILER_LINE_LF;
	} else if (c == '\n') {
		return broken(err, "a bare LF in the trailer");
	} else {
		b->state_ = BODY_TRAILER_LINE;
	}
	return OK;
}

/* A byte that is not data. */
static enum code chunk_byte(struct http1_body *b, char c, struct err *err)
{
	switch ((enum body_state)b->state_) {
	case BODY_SIZE:
	case BODY_DIGITS:
	case BODY_EXTENSION:
		return size_byte(b, c, err);
	case BODY_SIZE_LF:
		if (c != '\n')
			return broken(err, "a CR without LF behind a size");
		b->line_ = 0;
		b->state_ = b->left ? BODY_DATA : BODY_TRAILER;
		return OK;
	case BODY_DATA_CR:
		if (c != '\r')
			return broken(err, "a chunk is longer than its size");
		b->state_ = BODY_DATA_LF;
		return OK;
	case BODY_DATA_LF:
		if (c != '\n')
			return broken(err, "a CR without LF behind a chunk");
		b->state_ = BODY_SIZE;
		return OK;
	case BODY_END_LF:
		if (c != '\n')
			return broken(err, "a CR without LF at the end");
		b->is_done = true;
		return OK;
	case BODY_TRAILER:
	case BODY_TRAILER_LINE:
	case BODY_TRAILER_LINE_LF:
		return trailer_byte(b, c, err);
	case BODY_DATA:
		break;
	}
	must(!"a byte of data");
	return OK;
}

/* Data of the body off the front of '*in'. */
static enum code take_data(struct http1_body *b, struct str *in, uint64_t max,
			   struct str *piece, struct err *err)
{
	size_t n = in->n < b->left ? in->n : (size_t)b->left;

	if (b->total + n > max) {
		err_set(err, E_TOO_LARGE, "body: more than %llu bytes",
			(unsigned long long)max);
		return err_hint(err, "server.body_bytes is the limit");
	}
	*piece = str_first(*in, n);
	*in = str_from(*in, n);
	b->total += n;
	if (b->framing != HTTP1_UNTIL_CLOSE)
		b->left -= n;
	if (b->left)
		return OK;
	if (b->framing == HTTP1_CHUNKED)
		b->state_ = BODY_DATA_CR;
	else
		b->is_done = true;
	return OK;
}

enum code http1_body_next(struct http1_body *b, struct str *in, uint64_t max,
			  struct str *piece, struct err *err)
{
	*piece = STR_NONE;
	while (in->n > 0 && !b->is_done) {
		enum code rc;

		if (b->framing != HTTP1_CHUNKED || b->state_ == BODY_DATA)
			return take_data(b, in, max, piece, err);
		rc = chunk_byte(b, in->p[0], err);
		if (rc)
			return rc;
		*in = str_from(*in, 1);
	}
	return OK;
}
