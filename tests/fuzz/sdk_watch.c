/*
 * What libconflux takes an event to mean, and what an error's body says: whatever the
 * bytes are, the place in the watch does not go back, nothing is forgotten that was
 * wanted, only what an event names is wanted, and who says nothing new moves nothing.
 * What the events say is read once more by the daemon's own reader.
 *
 * The source itself, for a client that asks nobody.  The first byte is what the client
 * has and the size of the pieces.
 */
#include "client/sdk/engine.c"

#include "base/buf.h"
#include "doc/format.h"

#include "base/banned.h"

#define KEY "t/a/e/x"
#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define VERSION 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct cfx client;
static struct config configs[2];
static struct endpoint endpoint = { .name = "http://a", .authority = "a" };

/* ---- a client ---- */

static struct doc *make_doc(void)
{
	char *text = heap_text(&heap_of_libc, STR("{}"));
	struct doc *doc;

	must(doc_new(&heap_of_libc, text, 2, "application/json", client.c_locale, 1,
		     &doc, NULL) == CFX_OK);
	doc->version = VERSION;
	must(sdk_unhex(STR(SHA), doc->sha256, 32));
	return doc;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char x[] = KEY, y[] = "t/a/e/y";
	struct cfx_view *picture;

	configs[0].key = x;
	configs[1].key = y;
	client.heap = heap_of_libc;
	client.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	client.seed = 1;
	must(names_new(&heap_of_libc, "x,y", &client.names, NULL) == CFX_OK);
	picture = picture_new(&heap_of_libc, client.names, NULL);
	must(picture);
	picture_set(picture, 0, make_doc());
	must(shelf_init(&heap_of_libc, &client.shelf, picture));
	client.configs = configs;
	client.endpoints = &endpoint;
	client.n_endpoints = 1;
	return 0;
}

static void begin(unsigned how)
{
	for (unsigned i = 0; i < 2; i++) {
		char *key = configs[i].key;

		configs[i] = (struct config){ .key = key };
	}
	configs[0].is_wanted = how & 1;
	configs[0].is_gone = how & 2;
	configs[0].ack.word = WORD_APPLIED;
	configs[0].ack.about.version = VERSION;
	memcpy(configs[0].ack.about.sha256, cfx_now(&client)->docs[0]->sha256, 32);
	client.cursor = 5;
	client.has_cursor = true;
	client.is_whole = true;
	events_reset(&client.events);
}

/* ---- events ---- */

/* What the daemon's reader makes of it; false: something else, or nothing. */
static bool read_change(struct arena *arena, struct str text, struct value **out)
{
	struct err err;

	return doc_parse_json(text, arena, NULL, out, &err) == OK &&
	       (*out)->type == VALUE_OBJECT;
}

/* Is it the version that the client has? */
static bool is_known(const struct value *v)
{
	uint64_t version;
	uint8_t digest[32];

	return value_to_u64(value_getz(v, "version"), &version) && version == VERSION &&
	       sdk_unhex(value_text(value_getz(v, "sha256")), digest, 32) &&
	       memcmp(digest, cfx_now(&client)->docs[0]->sha256, 32) == 0 &&
	       !value_text(value_getz(v, "release")).n;
}

static void must_follow(const struct cfx *was, const struct config *had, const char *name,
			const char *id, struct str text)
{
	struct str key = STR_NONE;
	AUTO_ARENA arena = arena_new(0);
	struct value *v;
	uint64_t rev = was->cursor;
	bool has_id = id[0] && sdk_u64(str_of(id), &rev);

	must(client.cursor >= was->cursor);
	must(client.cursor == was->cursor || (has_id && client.cursor == rev));
	must(client.has_cursor == was->has_cursor || strcmp(name, "error") == 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct config *c = &configs[i];

		must(c->is_wanted >= had[i].is_wanted && c->is_gone == had[i].is_gone);
		must(c->want_rev == had[i].want_rev || c->want_rev == rev);
		must(c->want_rev >= had[i].want_rev);
		must(c->is_wanted == had[i].is_wanted || strcmp(name, "change") == 0);
	}
	if (strcmp(name, "change") || !read_change(arena, text, &v))
		return;
	key = value_text(value_getz(v, "key"));
	if (str_is(key, KEY) && !is_known(v))
		must(configs[0].is_wanted && configs[0].want_rev >= MIN(rev, client.cursor));
	if (str_is(key, "t/a/e/y"))
		must(configs[1].is_wanted);
	must(configs[0].is_wanted == had[0].is_wanted || str_is(key, KEY));
	must(configs[1].is_wanted == had[1].is_wanted || str_is(key, "t/a/e/y"));
	if (value_getz(v, "end") && value_getz(v, "end")->type == VALUE_BOOL)
		must(client.is_whole == value_to_bool(value_getz(v, "end"), false));
}

static bool each(void *data, const char *name, const char *id, struct str text)
{
	struct config had[2] = { configs[0], configs[1] };
	struct cfx was = client;
	bool good = on_event(data, name, id, text);

	must(good);
	must_follow(&was, had, name, id, text);
	return good;
}

/* ---- errors ---- */

static void refusal(struct str body, int status)
{
	struct link l = { .to = &endpoint };
	struct cfx_error error = { 0 };

	l.answer.status = status;
	must(bytes_add(&heap_of_libc, &l.answer.body,
		       str_first(body, ANSWER_TEXT_MAX)));
	engine_refusal(&client, &l, &error);
	bytes_fini(&heap_of_libc, &l.answer.body);
	must(error.code && strnlen(error.text, sizeof(error.text)) < sizeof(error.text));
	must(str_starts(str_of(error.text), STR("http://a: ")));
	must(str_is_utf8(str_of(error.text)));
	for (const char *c = error.text; *c; c++)
		must((unsigned char)*c >= ' ' && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 400, 401, 403, 404, 410, 429, 500, 504 };
	struct str in = str_n(data, size);
	size_t step;

	if (size < 1 || size > 1 << 16)
		return 0;
	begin(data[0]);
	step = data[0] & 4 ? 7 : size;
	refusal(str_from(in, 1), statuses[data[0] % ARRAY_LEN(statuses)]);
	for (in = str_from(in, 1); in.n; in = sdk_from(in, step))
		if (!events_feed(&heap_of_libc, &client.events, str_first(in, step), each,
				 &client))
			break;
	events_fini(&heap_of_libc, &client.events);
	return 0;
}
