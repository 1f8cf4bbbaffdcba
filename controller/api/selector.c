/* Label and field selectors: see selector.h.  Called for lists. */
#include "api/selector.h"

#include "base/banned.h"

/* Of what is shown of a selector that is not understood. */
#define SHOWN_MAX 100

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_blanks(struct str *s)
{
	while (s->n && is_blank(s->p[0]))
		*s = str_from(*s, 1);
}

/* The letters of a key or value at the front of '*s'. */
static struct str take_word(struct str *s)
{
	static const struct str ends = { " \t,=!()", 7 };
	struct str word = *s;
	size_t n = 0;

	while (n < s->n && str_find(ends, s->p[n]) == SIZE_MAX)
		n++;
	*s = str_from(*s, n);
	word.n = n;
	return word;
}

static bool take(struct str *s, struct str what)
{
	if (!str_starts(*s, what))
		return false;
	*s = str_from(*s, what.n);
	return true;
}

static bool is_word(struct str s, bool slash)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '.' || c == '_' ||
		      c == '-' || (slash && c == '/')))
			return false;
	}
	return true;
}

static void add_value(struct selector_term *t, struct arena *arena, struct str v)
{
	t->values = arena_grow(arena, t->values, &t->cap, t->n + 1,
			       sizeof(*t->values));
	t->values[t->n++] = v;
}

/* "(a, b)" */
static bool take_set(struct str *s, struct arena *arena, struct selector_term *t)
{
	skip_blanks(s);
	if (!take(s, STR("(")))
		return false;
	do {
		skip_blanks(s);
		add_value(t, arena, take_word(s));
		skip_blanks(s);
	} while (take(s, STR(",")));
	return take(s, STR(")"));
}

static bool take_comparison(struct str *s, struct arena *arena,
			    struct selector_term *t)
{
	if (take(s, STR("!=")))
		t->op = SELECT_NOT_IN;
	else if (take(s, STR("==")) || take(s, STR("=")))
		t->op = SELECT_IN;
	else
		return false;
	skip_blanks(s);
	add_value(t, arena, take_word(s));
	return true;
}

static bool take_term(struct str *s, struct arena *arena, struct selector_term *t)
{
	struct str rest;

	skip_blanks(s);
	if (take(s, STR("!"))) {
		skip_blanks(s);
		t->key = take_word(s);
		t->op = SELECT_ABSENT;
		return true;
	}
	t->key = take_word(s);
	skip_blanks(s);
	t->op = SELECT_EXISTS;
	if (s->n == 0 || s->p[0] == ',' || take_comparison(s, arena, t))
		return true;
	rest = *s;
	t->op = str_is(take_word(&rest), "in") ? SELECT_IN : SELECT_NOT_IN;
	if (!take(s, t->op == SELECT_IN ? STR("in") : STR("notin")))
		return false;
	return take_set(s, arena, t);
}

static bool label_term_is_good(const struct selector_term *t)
{
	if (t->key.n == 0 || t->key.n > 317 || !is_word(t->key, true))
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (t->values[i].n > 253 || !is_word(t->values[i], true))
			return false;
	return true;
}

static enum code not_understood(struct str text, struct err *err)
{
	return err_set(err, E_INVALID, "unable to parse requirement: \"%.*s\" is "
		       "no selector", STR_ARG(str_first(text, SHOWN_MAX)));
}

static struct selector_term *add_term(struct query_selector *s, struct arena *arena)
{
	s->terms = arena_grow(arena, s->terms, &s->cap, s->n + 1,
			      sizeof(*s->terms));
	s->terms[s->n] = (struct selector_term){ 0 };
	return &s->terms[s->n++];
}

enum code label_selector_parse(struct str text, struct arena *arena,
			       struct query_selector *out, struct err *err)
{
	struct str rest = str_trim(text);

	*out = (struct query_selector){ 0 };
	if (rest.n == 0)
		return OK;
	do {
		struct selector_term *t = add_term(out, arena);

		if (out->n > SELECTOR_TERMS_MAX)
			return err_set(err, E_INVALID, "a selector has at most "
				       "%d terms", SELECTOR_TERMS_MAX);
		if (!take_term(&rest, arena, t) || !label_term_is_good(t))
			return not_understood(text, err);
		skip_blanks(&rest);
	} while (take(&rest, STR(",")));
	return rest.n ? not_understood(text, err) : OK;
}

bool label_selector_matches(const struct query_selector *s, const struct value *labels)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct selector_term *t = &s->terms[i];
		const struct value *have = value_get(labels, t->key);
		bool is_one = false;

		for (size_t k = 0; have && k < t->n; k++)
			is_one |= str_eq(value_text(have), t->values[k]);
		if ((t->op == SELECT_IN && !is_one) ||
		    (t->op == SELECT_NOT_IN && is_one) ||
		    (t->op == SELECT_EXISTS && !have) ||
		    (t->op == SELECT_ABSENT && have))
			return false;
	}
	return true;
}

/* ---- fields ---- */

enum code field_selector_parse(struct str text, struct arena *arena,
			       struct query_selector *out, struct err *err)
{
	struct str rest = text;

	*out = (struct query_selector){ 0 };
	while (rest.n) {
		struct str term = str_cut(&rest, ',');
		struct selector_term *t = add_term(out, arena);

		if (out->n > SELECTOR_TERMS_MAX)
			return err_set(err, E_INVALID, "a selector has at most "
				       "%d terms", SELECTOR_TERMS_MAX);
		t->key = str_first(term, MIN(str_find(term, '='), term.n));
		term = str_from(term, t->key.n);
		t->op = SELECT_IN;
		if (str_ends(t->key, STR("!"))) {
			t->op = SELECT_NOT_IN;
			t->key.n--;
		}
		t->key = str_trim(t->key);
		if (t->key.n == 0 || !take(&term, STR("=")))
			return err_set(err, E_INVALID, "invalid field selector: "
				       "\"%.*s\" is not understood",
				       STR_ARG(str_first(text, SHOWN_MAX)));
		if (t->op == SELECT_IN)
			take(&term, STR("="));
		add_value(t, arena, term);
	}
	return OK;
}

bool field_selector_matches(const struct query_selector *s, const struct value *object,
			    struct arena *arena)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct selector_term *t = &s->terms[i];
		struct str have = value_text_at(object, arena_z(arena, t->key));

		if (str_eq(have, t->values[0]) != (t->op == SELECT_IN))
			return false;
	}
	return true;
}
