/*
 * A look at a TOML text before toml++ reads it: how deep it nests, and how
 * many tables its keys make.
 *
 * toml++ frees its tree by recursion as deep as the text says, and a dotted
 * key nests without any bracket: "a.a.a.a" of a megabyte overruns the stack.
 * It also looks up tables that keys and headers made one by one in a list,
 * which takes minutes with a million of them.  So both are bounded here.  The
 * scan only has to agree with the grammar as far as the text is TOML, because
 * toml++ stops at the first error.
 */
#include "doc/toml_scan.h"

#include "base/banned.h"

/* toml++'s own bound of nested values is 256. */
#define LEVELS_MAX 256
/* The worst text with so many takes a second, as 8 MiB of plain text do. */
#define PARTS_MAX 50000

struct level {
	char close;
	bool was_value; /* around it: behind '=' */
	unsigned keys;	/* dots of the key in front of it */
};

struct scan {
	struct str s;
	size_t at;
	unsigned depth_max, depth; /* brackets, and dots in front of them */
	unsigned n_levels;
	struct level levels[LEVELS_MAX];
	bool is_value; /* behind '=' or in an array */
	unsigned dots; /* of the key being read */
	size_t parts;  /* dots of keys and "[[", all of them */
};

static bool is_at(const struct scan *s, const char *text)
{
	return str_starts(str_from(s->s, s->at), str_of(text));
}

static void skip_line(struct scan *s)
{
	while (s->at < s->s.n && s->s.p[s->at] != '\n')
		s->at++;
}

/* Behind the opening quotes; a closing run of quotes may begin with up to two
 * that belong to the string. */
static void skip_long_string(struct scan *s, char quote, const char *close)
{
	unsigned more = 2;

	while (s->at < s->s.n && !is_at(s, close))
		s->at += s->s.p[s->at] == '\\' && quote == '"' ? 2 : 1;
	s->at += 3;
	while (more-- && s->at < s->s.n && s->s.p[s->at] == quote)
		s->at++;
}

static void skip_string(struct scan *s)
{
	char quote = s->s.p[s->at];
	const char *close = quote == '"' ? "\"\"\"" : "'''";

	if (is_at(s, close)) {
		s->at += 3;
		skip_long_string(s, quote, close);
		return;
	}
	for (s->at++; s->at < s->s.n; s->at++) {
		if (s->s.p[s->at] == '\n')
			return; /* no TOML; toml++ says so */
		if (s->s.p[s->at] == '\\' && quote == '"')
			s->at++;
		else if (s->s.p[s->at] == quote)
			break;
	}
	s->at++;
}

static const char too_deep[] = "nested too deeply";

static const char *open_level(struct scan *s, char c)
{
	struct level *level = &s->levels[s->n_levels];

	if (s->n_levels == LEVELS_MAX || s->depth + s->dots + 1 > s->depth_max)
		return too_deep;
	*level = (struct level){ c == '[' ? ']' : '}', s->is_value, s->dots };
	s->n_levels++;
	s->depth += s->dots + 1;
	s->dots = 0;
	/* A header's brackets hold a key, as those of an inline table. */
	s->is_value = s->is_value && c == '[';
	return NULL;
}

static void close_level(struct scan *s, char c)
{
	const struct level *level;

	if (s->n_levels == 0 || s->levels[s->n_levels - 1].close != c)
		return;
	level = &s->levels[--s->n_levels];
	s->depth -= level->keys + 1;
	s->is_value = level->was_value;
	s->dots = 0;
}

static const char *count_dot(struct scan *s)
{
	if (s->is_value)
		return NULL; /* of a float */
	s->parts++;
	return s->depth + ++s->dots > s->depth_max ? too_deep : NULL;
}

static void end_line(struct scan *s)
{
	if (s->n_levels)
		return; /* inside an array */
	s->is_value = false;
	s->dots = 0;
}

/* Behind a comma in an inline table comes a key. */
static void next_item(struct scan *s)
{
	s->dots = 0;
	if (s->n_levels && s->levels[s->n_levels - 1].close == '}')
		s->is_value = false;
}

static const char *step(struct scan *s)
{
	char c = s->s.p[s->at];
	const char *why = NULL;

	if (c == '"' || c == '\'') {
		skip_string(s);
		return NULL;
	}
	if (c == '#') {
		skip_line(s);
		return NULL;
	}
	if (c == '[' || c == '{') {
		s->parts += !s->is_value && is_at(s, "[[");
		why = open_level(s, c);
	} else if (c == ']' || c == '}') {
		close_level(s, c);
	} else if (c == '.') {
		why = count_dot(s);
	} else if (c == '=') {
		s->is_value = true;
	} else if (c == ',') {
		next_item(s);
	} else if (c == '\n') {
		end_line(s);
	}
	if (!why && s->parts > PARTS_MAX)
		why = "more than 50000 dotted keys and headers of tables";
	if (!why)
		s->at++;
	return why;
}

const char *toml_scan(struct str text, unsigned depth_max, size_t *at)
{
	/* "[[a.b]]" is three deep and has three brackets and dots; a value
	 * that is no table adds none. */
	struct scan s = { .s = text, .depth_max = depth_max + 2 };
	const char *why = NULL;

	while (!why && s.at < s.s.n)
		why = step(&s);
	*at = MIN(s.at, text.n);
	return why;
}
