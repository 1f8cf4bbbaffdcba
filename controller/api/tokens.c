/*
 * Tokens: made, listed, deleted; and who one is.  A token is of a role, or of a
 * subject with a name, groups, verbs, perhaps a tenant, and an end (auth/auth.h).
 */
#include "api/own.h"

#include "base/clock.h"
#include "base/secret.h"

#include "base/banned.h"

#define NAME_MAX_BYTES 63

/* ---- what there is ---- */

static void add_text(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, value);
}

/* Those that are no instances, or what stands behind that. */
static void add_named(struct buf *out, const char *name, struct str groups,
		      bool are_instances)
{
	struct str one, pattern;
	const char *comma = "";

	buf_printf(out, ",\"%s\":[", name);
	for (size_t at = 0; groups_next(groups, &at, &one);) {
		if (group_instance(one, &pattern) != are_instances)
			continue;
		buf_z(out, comma);
		buf_json(out, are_instances ? pattern : one);
		comma = ",";
	}
	buf_c(out, ']');
}

static void add_groups(struct buf *out, struct str groups)
{
	add_named(out, "groups", groups, false);
	if (subject_is_bound(&(struct subject){ .groups = groups }))
		add_named(out, "instances", groups, true);
}

static void add_verbs(struct buf *out, uint64_t verbs)
{
	AUTO_BUF text = BUF_NONE;
	const char *comma = "";
	struct str rest;

	verbs_text(&text, verbs);
	rest = buf_view(&text);
	buf_z(out, ",\"verbs\":[");
	for (; rest.n; comma = ",") {
		buf_z(out, comma);
		buf_json(out, str_cut(&rest, ','));
	}
	buf_c(out, ']');
}

/* Members that say who has it; 'until_ms' 0: it does not end. */
static void add_subject(struct buf *out, struct str subject, struct str tenant,
			struct str groups, uint64_t verbs, uint64_t until_ms)
{
	char time[RFC3339_MAX];

	add_text(out, "subject", subject);
	if (tenant.n)
		add_text(out, "tenant", tenant);
	add_groups(out, groups);
	add_verbs(out, verbs);
	if (until_ms == 0)
		return;
	clock_rfc3339(time, until_ms, false);
	add_text(out, "expires", str_of(time));
}

static bool one_token(void *data, const struct token_row *row)
{
	struct buf *out = data;
	char time[RFC3339_MAX];

	clock_rfc3339(time, row->created_ms, false);
	if (out->p[out->n - 1] != '[')
		buf_c(out, ',');
	buf_z(out, "{\"name\":");
	buf_json(out, row->name);
	buf_printf(out, ",\"role\":\"%s\",\"created\":\"%s\"",
		   role_name(row->role), time);
	if (row->role == ROLE_NAMED) {
		add_subject(out, row->subject, row->tenant, row->groups,
			    row->verbs, row->expires_ms);
		buf_printf(out, ",\"has_ended\":%s",
			   token_is_over(row, clock_wall_ms()) ? "true" : "false");
	}
	if (row->certificate.n)
		add_text(out, "certificate_name", row->certificate);
	buf_c(out, '}');
	return true;
}

void get_tokens(struct request *r)
{
	AUTO_BUF out = BUF_NONE;
	struct kv_txn *txn;

	if (!api_view(r, &txn))
		return;
	buf_z(&out, "{\"tokens\":[");
	view_tokens(txn, one_token, &out);
	buf_z(&out, "]}");
	answer(r, 200, "application/json", buf_view(&out));
}

void get_whoami(struct request *r)
{
	const struct caller *caller = caller_of(r);
	const struct subject *s = &caller->subject;
	AUTO_BUF out = BUF_NONE;

	buf_printf(&out, "{\"role\":\"%s\"", role_name(s->role));
	if (s->role == ROLE_NAMED)
		add_subject(&out, s->name, s->tenant, s->groups, s->verbs,
			    s->until_ms);
	else
		add_text(&out, "subject", s->name);
	add_text(&out, "credential", caller->credential);
	buf_z(&out, "}\n");
	answer_header(r, "Cache-Control", STR("no-store"));
	answer(r, 200, "application/json", buf_view(&out));
}

/* ---- a new one ---- */

struct new_token {
	char text[TOKEN_TEXT_MAX];
	struct op *op;
	enum subject_role role;
};

static void token_made(struct change *ch, struct request *r,
		       const struct outcome *o)
{
	struct new_token *t = ch->data;
	const struct op *op = t->op;
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "{\"name\":");
	buf_json(&out, op->name);
	buf_printf(&out, ",\"role\":\"%s\"", role_name(t->role));
	if (t->role == ROLE_NAMED)
		add_subject(&out, op->author, op->tenant, op->groups, op->verbs,
			    op->count);
	if (op->certificate.n)
		add_text(&out, "certificate_name", op->certificate);
	else
		add_text(&out, "token", str_of(t->text));
	buf_c(&out, '}');
	answer_header(r, "Cache-Control", STR("no-store"));
	answer(r, 201, "application/json", buf_view(&out));
	wipe(out.p, out.n);
	wipe(t->text, sizeof(t->text));
}

/* Anything else would bind nobody. */
static bool is_certificate_name(struct str name)
{
	return name.n <= CERTIFICATE_NAME_MAX &&
	       (str_starts(name, STR("CN=")) ? name.n > 3 :
					       str_find(name, ':') != SIZE_MAX);
}

/* "24h", "90d" from now on, or "2026-12-31T00:00:00Z". */
static enum code take_expires(struct str text, uint64_t now_ms, uint64_t *out,
			      struct err *err)
{
	uint64_t ms;

	if (text.n == 0)
		return OK;
	if (str_duration_ms(text, &ms) && ms > 0 && ms <= UINT64_MAX / 2 - now_ms)
		*out = now_ms + ms;
	else if (!clock_parse_rfc3339(text, out) || *out <= now_ms)
		return err_set(err, E_UNPROCESSABLE, "\"expires\" is a time from "
			       "now on (24h, 90d) or one to come "
			       "(2026-12-31T00:00:00Z), not \"%.*s\"",
			       STR_ARG(str_first(text, 40)));
	return OK;
}

/* Texts of a list; E_UNPROCESSABLE. */
static enum code take_texts(const struct value *body, const char *name,
			    struct arena *arena, struct str **out, size_t *n,
			    struct err *err)
{
	const struct value *list = value_get(body, str_of(name));

	*n = value_count(list);
	*out = arena_zero(arena, (*n + 1) * sizeof(**out));
	for (size_t i = 0; i < *n; i++) {
		if (list->a.items[i]->type != VALUE_STRING)
			return err_set(err, E_UNPROCESSABLE, "\"%s\" is a list of "
				       "texts", name);
		(*out)[i] = list->a.items[i]->s;
	}
	return OK;
}

static enum code take_verbs(const struct value *body, struct arena *arena,
			    uint64_t *out, struct err *err)
{
	struct str *names;
	size_t n;
	enum code rc = take_texts(body, "verbs", arena, &names, &n, err);

	for (size_t i = 0; i < n && rc == OK; i++) {
		if (verbs_add(out, names[i]))
			continue;
		rc = err_set(err, E_UNPROCESSABLE, "no token is given the verb "
			     "\"%.*s\"", STR_ARG(str_first(names[i], 40)));
		err_hint(err, "publish, approve, promote, rollback, pause or "
			 "administer; whoever has a name may read");
	}
	return rc;
}

/* A name, or its beginning and '*'. */
static enum code take_instance(struct str pattern, struct arena *arena,
			       struct str *out, struct err *err)
{
	size_t star = str_find(pattern, '*');

	if (!ack_instance_is_valid(pattern) ||
	    pattern.n > GROUP_NAME_MAX - strlen(GROUP_INSTANCE) ||
	    (star != SIZE_MAX && star != pattern.n - 1))
		return err_set(err, E_UNPROCESSABLE, "\"instances\" are names of at most "
			       "%zu bytes that can be seen, or their beginnings and *",
			       GROUP_NAME_MAX - strlen(GROUP_INSTANCE));
	*out = arena_printf(arena, GROUP_INSTANCE "%.*s", STR_ARG(pattern));
	return OK;
}

static enum code take_groups(const struct value *body, struct arena *arena,
			     struct str *out, struct err *err)
{
	AUTO_BUF groups = BUF_NONE;
	struct str *names, *instances, *all, ignored;
	size_t n, n_instances;
	enum code rc = take_texts(body, "groups", arena, &names, &n, err);

	if (rc == OK)
		rc = take_texts(body, "instances", arena, &instances, &n_instances, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		if (group_instance(names[i], &ignored))
			return err_set(err, E_UNPROCESSABLE, "no group begins with \""
				       GROUP_INSTANCE "\": see \"instances\"");
	all = arena_zero(arena, (n + n_instances + 1) * sizeof(*all));
	memcpy(all, names, n * sizeof(*all));
	for (size_t i = 0; i < n_instances && rc == OK; i++)
		rc = take_instance(instances[i], arena, &all[n + i], err);
	if (rc == OK)
		rc = groups_encode(&groups, all, n + n_instances, err);
	if (rc)
		err->code = E_UNPROCESSABLE;
	*out = arena_str(arena, buf_view(&groups));
	return rc;
}

/* Members of a subject, into the operation. */
static enum code take_subject(const struct value *body, struct arena *arena,
			      struct op *op, struct err *err)
{
	struct str tenant = value_text_at(body, "tenant");
	struct str subject = value_text_at(body, "subject");
	enum code rc;

	if (subject.n == 0 || subject.n > AUTHOR_MAX || str_find(subject, ':') != SIZE_MAX)
		return err_set(err, E_UNPROCESSABLE, "\"subject\" has 1 to %d bytes and "
			       "no colon", AUTHOR_MAX);
	if (value_getz(body, "read_only"))
		return err_set(err, E_UNPROCESSABLE, "\"read_only\" is of tokens "
			       "without subject; a subject without verbs may read");
	if (tenant.n && !is_dns_label(tenant))
		return err_set(err, E_UNPROCESSABLE, "\"tenant\" must be a DNS label");
	op->author = arena_str(arena, subject);
	op->tenant = arena_str(arena, tenant);
	rc = take_verbs(body, arena, &op->verbs, err);
	if (rc == OK)
		rc = take_groups(body, arena, &op->groups, err);
	return rc ? rc : take_expires(value_text_at(body, "expires"),
				      clock_wall_ms(), &op->count, err);
}

/* Only a subject has these. */
static enum code no_subject(const struct value *body, struct err *err)
{
	static const char *const members[] = { "groups", "verbs", "tenant", "expires",
					       "instances" };

	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (value_get(body, str_of(members[i])))
			return err_set(err, E_UNPROCESSABLE, "\"%s\" is of a "
				       "\"subject\", which is missing", members[i]);
	return OK;
}

/* "ann@example.org" has "ann-example-org-3f2a1c". */
static struct str name_of(struct str subject, struct arena *arena)
{
	uint8_t random[3];
	AUTO_BUF name = BUF_NONE;

	for (size_t i = 0; i < subject.n && name.n < NAME_MAX_BYTES - 7; i++) {
		char c = subject.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			buf_c(&name, c);
		else if (name.n && name.p[name.n - 1] != '-')
			buf_c(&name, '-');
	}
	if (name.n == 0)
		buf_z(&name, "token");
	if (name.p[name.n - 1] != '-')
		buf_c(&name, '-');
	rand_bytes(random, sizeof(random));
	buf_hex(&name, random, sizeof(random));
	return arena_str(arena, buf_view(&name));
}

static enum code take_token(const struct value *body, struct arena *arena,
			    struct new_token *t, struct op *op, struct err *err)
{
	struct str name = value_text_at(body, "name");
	struct str certificate = value_text_at(body, "certificate_name");
	bool is_named = value_getz(body, "subject") != NULL;
	enum code rc = is_named ? take_subject(body, arena, op, err) :
				  no_subject(body, err);

	if (rc)
		return rc;
	if (is_named && !value_getz(body, "name"))
		name = name_of(op->author, arena);
	if (name.n > NAME_MAX_BYTES || !is_dns_label(name))
		return err_set(err, E_UNPROCESSABLE, "\"name\" must be a DNS label: "
			       "lower case, digits and dashes, at most 63");
	if (value_getz(body, "certificate_name") && !is_certificate_name(certificate))
		return err_set(err, E_UNPROCESSABLE, "\"certificate_name\" is "
			       "CN=NAME or a URI, as the certificate has it");
	t->role = is_named ? ROLE_NAMED :
		  value_to_bool(value_getz(body, "read_only"), false) ?
			     ROLE_READ_ONLY : ROLE_ROOT;
	op->type = is_named ? OP_SUBJECT_PUT :
		   certificate.n ? OP_CERTIFICATE_PUT : OP_TOKEN_PUT;
	op->name = arena_str(arena, name);
	op->role = t->role;
	op->certificate = arena_str(arena, certificate);
	if (certificate.n == 0)
		token_new(t->text, &op->sha);
	t->op = op;
	return OK;
}

void post_token(struct request *r)
{
	static const struct body_member members[] = {
		{ "name", VALUE_STRING, false },
		{ "read_only", VALUE_BOOL, false },
		{ "certificate_name", VALUE_STRING, false },
		{ "subject", VALUE_STRING, false },
		{ "groups", VALUE_ARRAY, false },
		{ "instances", VALUE_ARRAY, false },
		{ "verbs", VALUE_ARRAY, false },
		{ "tenant", VALUE_STRING, false },
		{ "expires", VALUE_STRING, false },
	};
	struct value *body;
	struct change *ch;
	struct new_token *t;
	struct err err;

	if (!API_BODY_OF(r, members, &body))
		return;
	ch = change_new(r, token_made);
	/* The outcome that a key brings back does not hold the token's text:
	 * sent again, it is refused because the name is taken. */
	memset(&ch->cmd.id, 0, sizeof(ch->cmd.id));
	t = ANEW(ch->arena, struct new_token);
	ch->data = t;
	if (take_token(body, ch->arena, t,
		       command_op(ch->arena, &ch->cmd, OP_TOKEN_PUT), &err) == OK) {
		change_submit(ch);
		return;
	}
	change_cancel(ch);
	api_error(r, &err);
}

/* ---- one less ---- */

static void token_deleted(struct change *ch, struct request *r,
			  const struct outcome *o)
{
	answer(r, 204, NULL, STR_NONE);
}

void delete_token(struct request *r)
{
	struct change *ch = change_new(r, token_deleted);
	struct op *op = command_op(ch->arena, &ch->cmd, OP_TOKEN_DELETE);

	op->name = arena_str(ch->arena, r->in->args[0]);
	change_submit(ch);
}
