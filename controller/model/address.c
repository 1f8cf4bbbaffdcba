/*
 * Addresses and the names that are made of them.  Called at the door and
 * again inside apply, so everything here is a pure function of its input.
 */
#include "model/address.h"

#include "base/hex.h"
#include "wire/sum.h"

#include "base/banned.h"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_part_byte(char c)
{
	return is_alnum(c) || c == '-' || c == '_' || c == '.';
}

static enum code bad_part(struct err *err, const char *what, struct str part,
			  const char *rule)
{
	return err_set(err, E_INVALID, "%s \"%.*s\" %s", what,
		       (int)MIN(part.n, (size_t)80), part.p ? part.p : "", rule);
}

static enum code part_check(const char *what, struct str part, struct err *err)
{
	if (part.n == 0)
		return bad_part(err, what, part, "is empty");
	if (part.n > ADDRESS_PART_MAX)
		return bad_part(err, what, part, "is longer than 63 bytes");
	for (size_t i = 0; i < part.n; i++)
		if (!is_part_byte(part.p[i]))
			return bad_part(err, what, part,
					"has a byte outside [A-Za-z0-9._-]");
	if (!is_alnum(part.p[0]) || !is_alnum(part.p[part.n - 1]))
		return bad_part(err, what, part,
				"must begin and end with a letter or digit");
	return OK;
}

enum code tenant_check(struct str tenant, struct err *err)
{
	if (tenant.n == 0)
		return bad_part(err, "tenant", tenant, "is empty");
	if (!is_dns_label(tenant))
		return bad_part(err, "tenant", tenant,
				"is no DNS label (a-z, 0-9 and '-', at most 63)");
	return OK;
}

static enum code name_check(struct str name, struct err *err)
{
	struct str rest = name;

	if (name.n == 0)
		return bad_part(err, "name", name, "is empty");
	if (name.n > ADDRESS_NAME_MAX)
		return bad_part(err, "name", name, "is longer than 253 bytes");
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c < 0x21 || c == 0x7f || c == '\\')
			return bad_part(err, "name", name,
					"has a space, control byte or backslash");
	}
	if (!str_is_utf8(name))
		return bad_part(err, "name", STR("(bytes)"), "is not UTF-8");
	if (name.p[name.n - 1] == '/')
		return bad_part(err, "name", name, "ends in '/'");
	while (rest.n) {
		struct str part = str_cut(&rest, '/');

		if (part.n == 0 || str_is(part, ".") || str_is(part, ".."))
			return bad_part(err, "name", name,
					"has an empty, \".\" or \"..\" part");
	}
	return OK;
}

enum code address_check(const struct address *a, struct err *err)
{
	enum code rc = tenant_check(a->tenant, err);

	if (rc == OK)
		rc = part_check("application", a->application, err);
	if (rc == OK)
		rc = part_check("environment", a->environment, err);
	if (rc == OK)
		rc = name_check(a->name, err);
	return rc;
}

enum code address_parse(struct str text, struct address *out, struct err *err)
{
	struct str rest = text;
	enum code rc;

	out->tenant = str_cut(&rest, '/');
	out->application = str_cut(&rest, '/');
	out->environment = str_cut(&rest, '/');
	out->name = rest;
	rc = address_check(out, err);
	if (rc)
		err_hint(err, "an address reads tenant/application/environment/name");
	return rc;
}

void address_text(struct buf *out, const struct address *a)
{
	buf_str(out, a->tenant);
	buf_c(out, '/');
	buf_str(out, a->application);
	buf_c(out, '/');
	buf_str(out, a->environment);
	buf_c(out, '/');
	buf_str(out, a->name);
}

void address_key(struct buf *out, const struct address *a)
{
	buf_str(out, a->tenant);
	buf_c(out, '\0');
	buf_str(out, a->application);
	buf_c(out, '\0');
	buf_str(out, a->environment);
	buf_c(out, '\0');
	buf_str(out, a->name);
}

bool address_of_key(struct str key, struct address *out)
{
	struct str rest = key;

	out->tenant = str_cut(&rest, '\0');
	out->application = str_cut(&rest, '\0');
	out->environment = str_cut(&rest, '\0');
	out->name = rest;
	return out->tenant.n && out->application.n && out->environment.n &&
	       out->name.n;
}

bool address_eq(const struct address *a, const struct address *b)
{
	return str_eq(a->tenant, b->tenant) &&
	       str_eq(a->application, b->application) &&
	       str_eq(a->environment, b->environment) &&
	       str_eq(a->name, b->name);
}

bool is_dns_label(struct str s)
{
	if (s.n == 0 || s.n > 63)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_lower_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return s.p[0] != '-' && s.p[s.n - 1] != '-';
}

bool is_dns_subdomain(struct str s)
{
	struct str rest = s;

	if (s.n == 0 || s.n > 253 || s.p[s.n - 1] == '.')
		return false;
	while (rest.n) {
		struct str label = str_cut(&rest, '.');

		if (label.n == 0)
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!is_lower_alnum(label.p[i]) && label.p[i] != '-')
				return false;
		if (label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
	}
	return true;
}

static bool has_dot(struct str s)
{
	return str_find(s, '.') != SIZE_MAX;
}

/* Keeps what a DNS-1123 name may hold, turns the rest into '-'. */
static struct str dns_like(struct arena *arena, struct str text, size_t max)
{
	struct str s = arena_str(arena, str_first(text, max));
	char *p = (char *)(uintptr_t)s.p;

	for (size_t i = 0; i < s.n; i++) {
		char c = p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!is_lower_alnum(c) && c != '.')
			c = '-';
		if (c == '.' && (i == 0 || !is_lower_alnum(p[i - 1])))
			c = '-';
		p[i] = c;
	}
	/* A label may not end in '-' before a dot. */
	for (size_t i = 0; i + 1 < s.n; i++)
		if (p[i] == '-' && p[i + 1] == '.')
			p[i + 1] = '-';
	while (s.n && !is_lower_alnum(*s.p))
		s = str_from(s, 1);
	return s;
}

static struct str with_digest(struct arena *arena, struct str text,
			      struct str address)
{
	struct sha256 digest = sha256_of(address);
	char hex[9];
	struct str head = dns_like(arena, text, 244);

	hex_text(hex, digest.b, 4);
	while (head.n && !is_lower_alnum(head.p[head.n - 1]))
		head.n--;
	return arena_printf(arena, "%.*s%s%s", STR_ARG(head),
			    head.n ? "-" : "x-", hex);
}

/* "a-1234abcd" could be what another address was shortened to. */
static bool looks_digested(struct str s)
{
	uint8_t b[4];

	return s.n > 9 && s.p[s.n - 9] == '-' &&
	       hex_parse(str_from(s, s.n - 8), b, sizeof(b));
}

struct str address_object_name(struct arena *arena, const struct address *a)
{
	struct str plain = arena_printf(arena, "%.*s.%.*s.%.*s",
					STR_ARG(a->application),
					STR_ARG(a->environment),
					STR_ARG(a->name));
	AUTO_BUF text = BUF_NONE;

	if (is_dns_subdomain(plain) && !has_dot(a->application) &&
	    !has_dot(a->environment) && !looks_digested(plain))
		return plain;
	address_text(&text, a);
	return with_digest(arena, plain, buf_view(&text));
}

struct str environment_object_name(struct arena *arena, struct str application,
				   struct str environment)
{
	struct str plain = arena_printf(arena, "%.*s.%.*s",
					STR_ARG(application),
					STR_ARG(environment));

	if (is_dns_subdomain(plain) && !has_dot(application) &&
	    !has_dot(environment) && !looks_digested(plain))
		return plain;
	return with_digest(arena, plain,
			   arena_printf(arena, "%.*s/%.*s",
					STR_ARG(application),
					STR_ARG(environment)));
}
