/*
 * Where a configuration lives: tenant/application/environment/name.
 *
 * Tenant, application and environment have at most 63 bytes of [A-Za-z0-9._-]
 * and begin and end with a letter or digit; a tenant is lower-case (it is a
 * namespace).  A name has at most 253 bytes, may hold '/' between parts, and
 * no part is "." or "..".  Case counts.  Pure; any thread.
 */
#ifndef MODEL_ADDRESS_H
#define MODEL_ADDRESS_H

#include "base/arena.h"

#define ADDRESS_PART_MAX 63
#define ADDRESS_NAME_MAX 253
#define ADDRESS_KEY_MAX (3 * (ADDRESS_PART_MAX + 1) + ADDRESS_NAME_MAX)

struct address {
	struct str tenant, application, environment, name;
};

/* Each part alone; err names the part and the rule it breaks.  E_INVALID. */
enum code address_check(const struct address *a, struct err *err) MUST_USE;
enum code tenant_check(struct str tenant, struct err *err) MUST_USE;
/* Splits "t/a/e/n" (the name is the rest) and checks it; borrows. */
enum code address_parse(struct str text, struct address *out,
			struct err *err) MUST_USE;
void address_text(struct buf *out, const struct address *a);   /* "t/a/e/n" */
/* The key of table LIVE: parts joined by NUL bytes; sorts by address. */
void address_key(struct buf *out, const struct address *a);
bool address_of_key(struct str key, struct address *out);
bool address_eq(const struct address *a, const struct address *b);

/*
 * The name of an object made from a file: "application.environment.name".
 * Where that is no DNS-1123 subdomain, or does not lead back to the address,
 * the offending bytes become '-' and it ends in '-' and 8 hex digits of the
 * address's SHA-256.
 */
struct str address_object_name(struct arena *arena, const struct address *a);
/* "application.environment", by the same rule. */
struct str environment_object_name(struct arena *arena, struct str application,
				   struct str environment);
/* RFC 1123 subdomain, at most 253 bytes: what metadata.name must be. */
bool is_dns_subdomain(struct str s);
bool is_dns_label(struct str s);

#endif
