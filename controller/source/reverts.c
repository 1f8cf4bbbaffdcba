/* What turned back, offered to Git: see reverts.h. */
#include "source/reverts.h"

#include "doc/format.h"

#include "base/banned.h"

/* Most objects are of no concern, and a look at the text says so; what looks like
 * it is parsed. */
static bool says(struct str json, const char *member, const char *text)
{
	char want[80];
	int n = snprintf(want, sizeof(want), "\"%s\":\"%s", member, text);

	return n > 0 && str_find_str(json, str_n(want, (size_t)n)) != SIZE_MAX;
}

static const struct value *parse(struct arena *arena, struct str json)
{
	struct value *v = NULL;

	if (doc_parse_json(arena_str(arena, json), arena, NULL, &v, NULL))
		return NULL;
	return v;
}

static bool is_back(const struct object_row *row, struct arena *arena)
{
	return says(row->status, "phase", "RolledBack") &&
	       str_is(value_text_at(parse(arena, row->status), "phase"),
		      "RolledBack");
}

struct search {
	struct arena *arena;
	struct str subject;
	struct revert_wish *out;
	bool found;
};

static bool look(void *data, const struct object_view *o)
{
	struct search *s = data;
	const struct value *spec;

	if (!says(o->row.spec, "author", "source:") || !is_back(&o->row, s->arena))
		return true;
	spec = parse(s->arena, o->row.spec);
	if (!str_eq(value_text_at(spec, "author"), s->subject) ||
	    !oid_parse(value_text_at(spec, "commit"), &s->out->commit))
		return true;
	s->out->release = arena_str(s->arena, o->name);
	s->out->reason = value_text_at(parse(s->arena, o->row.status), "message");
	s->found = true;
	return false;
}

bool reverts_next(struct kv_txn *txn, struct arena *arena, struct str tenant,
		  struct str subject, struct str after, struct revert_wish *out)
{
	struct search s = { .arena = arena, .subject = subject, .out = out };

	*out = (struct revert_wish){ 0 };
	return view_list(txn, KIND_RELEASE, tenant, tenant, after, look, &s,
			 NULL) == OK &&
	       s.found;
}

bool reverts_of(struct kv_txn *txn, struct arena *arena, struct str tenant,
		struct str subject, const struct oid *commit,
		struct revert_wish *out)
{
	struct revert_wish wish;
	struct str after = STR_NONE;
	bool found = false;

	while (reverts_next(txn, arena, tenant, subject, after, &wish)) {
		after = wish.release;
		if (!oid_eq(&wish.commit, commit))
			continue;
		*out = wish;
		found = true;
	}
	return found;
}

static void fill(struct buf *out, struct str *pattern, struct str word,
		 struct str value)
{
	*pattern = str_from(*pattern, word.n);
	buf_str(out, value);
}

struct str reverts_branch(struct arena *arena, struct str pattern,
			  const struct revert_wish *wish)
{
	AUTO_BUF b = BUF_NONE;
	char hex[OID_TEXT];

	oid_text(hex, &wish->commit);
	while (pattern.n) {
		if (str_starts(pattern, STR("{release}")))
			fill(&b, &pattern, STR("{release}"), wish->release);
		else if (str_starts(pattern, STR("{commit}")))
			fill(&b, &pattern, STR("{commit}"), str_n(hex, 12));
		else
			fill(&b, &pattern, STR("x"), str_first(pattern, 1));
	}
	return arena_str(arena, buf_view(&b));
}

struct str reverts_message(struct arena *arena, struct str summary,
			   const struct revert_wish *wish)
{
	char hex[OID_TEXT];

	oid_text(hex, &wish->commit);
	return arena_printf(arena,
			    "Revert \"%.*s\"\n\nThis takes back what commit %s "
			    "brought: its release\n%.*s turned back.%s%.*s\n",
			    STR_ARG(summary), hex, STR_ARG(wish->release),
			    wish->reason.n ? "\n\n" : "", STR_ARG(wish->reason));
}

bool reverts_is_over(const struct object_row *row, struct arena *arena)
{
	static const char *const over[] = { "Rejected", "Cancelled", "Expired",
					    "Failed", "Stale" };
	struct str phase = value_text_at(parse(arena, row->status), "phase");

	for (size_t i = 0; i < ARRAY_LEN(over); i++)
		if (str_eq(phase, str_of(over[i])))
			return true;
	return false;
}

bool reverts_concern(const struct event_row *event, struct arena *arena,
		     struct str *ns, struct str *name)
{
	struct object_row row;
	struct str author;

	if ((event->kind != KIND_RELEASE && event->kind != KIND_PROPOSAL) ||
	    event->type != EVENT_MODIFIED ||
	    !object_row_decode(event->after, &row) ||
	    !says(row.spec, "author", "source:"))
		return false;
	if (event->kind == KIND_RELEASE ? !is_back(&row, arena) :
					  !reverts_is_over(&row, arena))
		return false;
	author = value_text_at(parse(arena, row.spec), "author");
	if (!str_starts(author, STR("source:")))
		return false;
	author = str_from(author, STR("source:").n);
	*ns = str_cut(&author, '/');
	*name = author;
	return ns->n > 0 && name->n > 0 && str_eq(*ns, event->tenant);
}
