/* Pages of other origins: see origin.h. */
#include "api/origin.h"

#include "api/own.h"

#include "base/banned.h"

/* Browsers ask again after this time, and some sooner. */
#define PREFLIGHT_AGE_S 600

/* What a page may read of an answer beside what any may (Fetch, 3.3.3). */
static const struct str exposed = STR(
	"ETag, Retry-After, RateLimit, RateLimit-Policy, Warning, WWW-Authenticate, "
	"X-Conflux-Code, X-Conflux-Context-Ignored, X-Conflux-Key, "
	"X-Conflux-Revision, X-Conflux-Rule, X-Conflux-Signature, X-Conflux-Trace, "
	"X-Conflux-Version");

/* ---- one origin ---- */

/* Browsers leave out the port that the scheme implies; people do not always. */
static struct str without_default_port(struct str origin)
{
	static const struct {
		struct str scheme, port;
	} implied[] = {
		{ STR("https://"), STR(":443") },
		{ STR("http://"), STR(":80") },
	};

	for (size_t i = 0; i < ARRAY_LEN(implied); i++)
		if (str_eq_nocase(str_first(origin, implied[i].scheme.n),
				  implied[i].scheme) &&
		    str_ends(origin, implied[i].port))
			return str_first(origin, origin.n - implied[i].port.n);
	return origin;
}

static bool is_same(struct str a, struct str b)
{
	return str_eq_nocase(without_default_port(a), without_default_port(b));
}

static bool is_scheme(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		unsigned char lower = c | 0x20;

		if (!(lower >= 'a' && lower <= 'z') &&
		    !(i > 0 && ((c >= '0' && c <= '9') || c == '+' || c == '-' ||
				c == '.')))
			return false;
	}
	return s.n > 0;
}

static bool is_host_and_port(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c >= 0x7f || c == '/' || c == '?' || c == '#' ||
		    c == '@' || c == '*' || c == '\\' || c == '"')
			return false;
	}
	return s.n > 0;
}

static bool is_origin(struct str s)
{
	size_t at = str_find_str(s, STR("://"));

	return at != SIZE_MAX && is_scheme(str_first(s, at)) &&
	       is_host_and_port(str_from(s, at + 3));
}

enum code origin_check(struct str list, struct err *err)
{
	while (list.n) {
		struct str one = str_trim(str_cut(&list, ','));

		if (one.n == 0 || str_is(one, "*") || is_origin(one))
			continue;
		err_set(err, E_INVALID, "'%.*s' is no origin",
			STR_ARG(str_first(one, 200)));
		return err_hint(err, "scheme, host and, where it is another than the "
				"scheme's own, port, without a path: "
				"https://console.example.org; or *");
	}
	return OK;
}

/* ---- of a request ---- */

/* "https://host:port" against the Host that was asked for. */
static bool is_own(const struct request *r, struct str origin)
{
	struct str scheme = r->is_tls ? STR("https://") : STR("http://");
	const struct str *host = request_header(r, "host");
	AUTO_BUF own = BUF_NONE;

	if (!host)
		return false;
	buf_str(&own, scheme);
	buf_str(&own, *host);
	return is_same(origin, buf_view(&own));
}

static struct str list_of(const struct request *r)
{
	const struct api_loop *at = r->server_data;

	return str_of(at->api->config.allowed_origins);
}

enum origin origin_of(const struct request *r)
{
	const struct str *origin = request_header(r, "origin");
	struct str rest = list_of(r);
	enum origin found = ORIGIN_FOREIGN;

	if (!origin)
		return ORIGIN_NONE;
	if (is_own(r, *origin))
		return ORIGIN_OWN;
	while (rest.n) {
		struct str one = str_trim(str_cut(&rest, ','));

		if (is_same(one, *origin))
			return ORIGIN_LISTED;
		if (str_is(one, "*"))
			found = ORIGIN_ANY;
	}
	return found;
}

bool origin_is_trusted(const struct request *r)
{
	return origin_of(r) <= ORIGIN_LISTED;
}

/* False: the page may not read the answer. */
static bool add_origin(struct request *r)
{
	switch (origin_of(r)) {
	case ORIGIN_LISTED:
		answer_header(r, "Access-Control-Allow-Origin",
			      *request_header(r, "origin"));
		answer_header(r, "Access-Control-Allow-Credentials", STR("true"));
		return true;
	case ORIGIN_ANY:
		answer_header(r, "Access-Control-Allow-Origin", STR("*"));
		return true;
	case ORIGIN_NONE:
	case ORIGIN_OWN:
	case ORIGIN_FOREIGN:
		break;
	}
	return false;
}

void origin_add_headers(struct request *r)
{
	if (list_of(r).n == 0)
		return;
	/* Also where nobody said an origin: a cache may give it to who does. */
	answer_header(r, "Vary", STR("Origin"));
	if (add_origin(r))
		answer_header(r, "Access-Control-Expose-Headers", exposed);
}

/* What may be a list of names; another byte may not even go back. */
static bool is_names(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c >= 0x7f || c == ':' || c == ';')
			return false;
	}
	return true;
}

/*
 * A preflight has no credentials, and the path need not exist: the request that comes
 * next is told.  Which headers there may be is not limited, as labels are among them
 * and none of them does what a token does not allow.
 */
bool origin_preflight(struct request *r)
{
	const struct str *headers =
		request_header(r, "access-control-request-headers");

	if (r->method != HTTP_M_OPTIONS ||
	    !request_header(r, "access-control-request-method") ||
	    !request_header(r, "origin") || list_of(r).n == 0)
		return false;
	answer_header(r, "Vary", STR("Origin, Access-Control-Request-Headers"));
	if (!add_origin(r)) {
		api_fail(r, E_DENIED, "pages of %.*s may not ask here; "
			 "server.allowed_origins has those that may",
			 STR_ARG(str_first(*request_header(r, "origin"), 200)));
		return true;
	}
	answer_header(r, "Access-Control-Allow-Methods",
		      STR("GET, HEAD, POST, PUT, PATCH, DELETE"));
	if (headers && is_names(*headers))
		answer_header(r, "Access-Control-Allow-Headers", *headers);
	answer_header_u64(r, "Access-Control-Max-Age", PREFLIGHT_AGE_S);
	answer(r, 204, NULL, STR_NONE);
	return true;
}
