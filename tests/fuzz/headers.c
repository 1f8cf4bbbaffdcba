/*
 * Headers and queries of the api: whatever they are, each parser takes what it may or
 * the request is answered, once, and what was taken is what was said.
 *
 * The first byte says which origins the server knows; the rest is a request.
 */
#include "api_world.h"

#include "api/origin.h"

#include "base/banned.h"

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *const origins[] = {
	"", "https://console.example.org, http://localhost:3000",
	"http://localhost:80,*",
};

void __wrap_watch_sse(struct request *r, const struct watch_spec *spec);
void __wrap_watch_poll(struct request *r, const struct watch_spec *spec,
		       unsigned wait_ms);

static bool is_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* ---- watches ---- */

static unsigned begun;

static void must_be_asked(const struct watch_spec *spec)
{
	const struct str *since = request_header(&now.r, "last-event-id");
	AUTO_BUF text = BUF_NONE;

	must(now.status == 0);
	must_be_places(spec);
	if (!since)
		since = request_query(&now.r, "since");
	must(spec->has_since == (since != NULL));
	if (since) {
		struct str said = *since;

		must(is_digits(said));
		while (said.n > 1 && said.p[0] == '0')
			said = str_from(said, 1);
		buf_printf(&text, "%llu", (unsigned long long)spec->since);
		must(str_eq(buf_view(&text), said));
	}
	begun++;
}

void __wrap_watch_sse(struct request *r, const struct watch_spec *spec)
{
	must(!request_query(r, "wait"));
	must_be_asked(spec);
}

void __wrap_watch_poll(struct request *r, const struct watch_spec *spec,
		       unsigned wait_ms)
{
	const struct str *wait = request_query(r, "wait");

	must(wait && wait->p[0] >= '0' && wait->p[0] <= '9');
	must(wait_ms >= 100 && wait_ms <= 60000);
	must_be_asked(spec);
}

static void watch(void)
{
	begun = 0;
	get_watch(&now.r);
	must(begun + (now.status != 0) == 1);
	now.status = 0;
}

/* ---- who asks ---- */

static void client(void)
{
	struct client client;
	struct labels labels;
	bool is_one = api_client(&now.r, &client);

	must(is_one == (now.status == 0));
	now.status = 0;
	must(!is_one || api_labels(&now.r, &labels));
	now.status = 0;
	if (!is_one)
		return;
	must_be_labels(&client.labels);
	must(client.labels.n == labels.n);
	must(!client.id.n || ack_instance_is_valid(client.id));
}

static void bearer(void)
{
	const struct str *h = request_header(&now.r, "authorization");
	struct str token = api_bearer(&now.r);
	struct sha256 key;

	must(str_eq(token, str_trim(token)));
	must(!token.n || (h && token.n + strlen("Bearer ") <= h->n &&
			  str_ends(*h, token)));
	must(api_credential_key(&now.r, &key) == (token.n > 0));
}

/* ---- conditions ---- */

/* Of a revision, bare or in quotes, or of any. */
static void if_match(void)
{
	const struct str *h = request_header(&now.r, "if-match");
	struct str text = h ? str_trim(*h) : STR("*");
	AUTO_BUF back = BUF_NONE;
	uint64_t rev;

	if (!change_if_match(&now.r, &rev)) {
		must(h && now.status == 400);
		now.status = 0;
		return;
	}
	must(now.status == 0);
	if (str_is(text, "*") || str_is(text, "\"*\"")) {
		must(rev == REV_ANY);
		return;
	}
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = str_first(str_from(text, 1), text.n - 2);
	must(is_digits(text));
	while (text.n > 1 && text.p[0] == '0')
		text = str_from(text, 1);
	buf_printf(&back, "%llu", (unsigned long long)rev);
	must(str_eq(buf_view(&back), text));
}

static void not_modified(void)
{
	const struct str *h = request_header(&now.r, "if-none-match");
	bool is_it = api_not_modified(&now.r, STR("\"" SHA "\""));

	if (is_it)
		must(h && (str_is(str_trim(*h), "*") ||
			   str_find_str(*h, STR("\"" SHA "\"")) != SIZE_MAX));
	else
		must(!h || !(str_is(*h, "*") || str_is(*h, "\"" SHA "\"") ||
			     str_is(*h, "W/\"" SHA "\"")));
}

/* ---- origins ---- */

static bool answered(const char *line)
{
	return str_find_str(buf_view(&now.head), str_of(line)) != SIZE_MAX;
}

/* What stands in the list by name, but for case and a port that goes without saying. */
static bool is_listed(struct str origin)
{
	static const char *const names[] = {
		"https://console.example.org", "https://console.example.org:443",
		"http://localhost:3000",
	};
	static const char *const second[] = { "http://localhost", "http://localhost:80" };
	bool is_first = api.config.allowed_origins == origins[1];

	for (size_t i = 0; is_first && i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(origin, str_of(names[i])))
			return true;
	for (size_t i = 0; !is_first && i < ARRAY_LEN(second); i++)
		if (str_eq_nocase(origin, str_of(second[i])))
			return true;
	return false;
}

static void origin(void)
{
	const struct str *h = request_header(&now.r, "origin");
	bool has_list = api.config.allowed_origins[0];
	bool may_read, is_credible;

	buf_reset(&now.head);
	origin_add_headers(&now.r);
	may_read = answered("Access-Control-Allow-Origin: ");
	is_credible = answered("Access-Control-Allow-Credentials: ");
	must(has_list || !now.head.n);
	must(!is_credible || (h && has_list && is_listed(*h)));
	must(!may_read || is_credible || api.config.allowed_origins == origins[2]);
	must(may_read == answered("Access-Control-Expose-Headers: "));
	must(h || origin_is_trusted(&now.r));
	must(!origin_is_trusted(&now.r) || !h || is_credible ||
	     origin_of(&now.r) == ORIGIN_OWN);
	buf_reset(&now.head);
	now.r.method = HTTP_M_OPTIONS;
	must(origin_preflight(&now.r) == (now.status != 0));
	must(!now.status || (h && has_list));
	must(now.status != 204 || answered("Access-Control-Allow-Origin: "));
	now.r.method = HTTP_M_GET;
	now.status = 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	world_open();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_ARENA arena = arena_new(0);
	struct str in = str_n(data, size);

	if (size < 1 || size > 16384)
		return 0;
	in = str_from(in, 1);
	if (!world_request(&in, arena))
		return 0;
	api.config.allowed_origins = origins[data[0] % ARRAY_LEN(origins)];
	watch();
	client();
	bearer();
	if_match();
	not_modified();
	(void)change_takes_over(&now.r);
	origin();
	return 0;
}
