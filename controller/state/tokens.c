/*
 * The operations on tokens: rows by the digest of the token, each name once.
 * The last root token stays, or nobody could write any more.  Deterministic.
 */
#include "state/apply.h"

#include "base/banned.h"

static bool token_name_is_taken(struct apply *a, struct str name,
				struct sha256 *sha)
{
	struct kv_cursor c;
	bool found = false;

	for (bool on = kv_seek(a->txn, KV_TOKENS, STR_NONE, &c); on && !found;
	     on = kv_next(&c)) {
		struct token_row row;

		found = token_row_decode(c.val, &row) && str_eq(row.name, name);
		if (found)
			memcpy(sha->b, c.key.p, sizeof(sha->b));
	}
	kv_cursor_close(&c);
	return found;
}

static enum code check_put(struct apply *a, const struct op *op, struct err *err)
{
	struct sha256 sha;

	if (op->type != OP_SUBJECT_PUT && op->role != ROLE_ROOT &&
	    op->role != ROLE_READ_ONLY)
		return err_set(err, E_INVALID, "unknown role %d", (int)op->role);
	if (op->name.n == 0 || op->name.n > 63)
		return err_set(err, E_INVALID, "a token's name has 1 to 63 bytes");
	if (token_name_is_taken(a, op->name, &sha))
		return err_set(err, E_EXISTS, "token \"%.*s\" already exists",
			       STR_ARG(op->name));
	return OK;
}

static enum code put(struct apply *a, const struct op *op,
		     const struct sha256 *sha, struct op_result *res)
{
	struct token_row row = { .name = op->name, .role = op->role,
				 .created_ms = a->head->time_ms,
				 .certificate = op->certificate };
	AUTO_BUF val = BUF_NONE;

	if (op->type == OP_SUBJECT_PUT) {
		row.role = ROLE_NAMED;
		row.subject = op->author;
		row.tenant = op->tenant;
		row.groups = op->groups;
		row.verbs = op->verbs;
		row.expires_ms = op->count;
	}
	token_row_encode(&val, &row);
	ap_put(a, KV_TOKENS, str_n(sha->b, sizeof(sha->b)), buf_view(&val));
	ap_diff(a, STR_NONE, buf_view(&val));
	a->token_changes++;
	*res = (struct op_result){ .changed = true };
	return OK;
}

enum code apply_token_put(struct apply *a, const struct op *op,
			  struct op_result *res, struct err *err)
{
	enum code rc = check_put(a, op, err);

	return rc ? rc : put(a, op, &op->sha, res);
}

static enum code check_certificate(struct apply *a, const struct op *op,
				   const struct sha256 *sha, struct err *err)
{
	struct token_row row;
	struct str val;

	if (a->head->version < VERSION_CERTIFICATES) {
		err_set(err, E_NOT_YET, "certificates are bound from cluster version "
			"%d on, and this cluster is at %llu", VERSION_CERTIFICATES,
			(unsigned long long)a->head->version);
		return err_hint(err, VERSION_HINT);
	}
	if (op->certificate.n == 0 || op->certificate.n > CERTIFICATE_NAME_MAX ||
	    !str_is_utf8(op->certificate))
		return err_set(err, E_INVALID, "a certificate's name has 1 to %d "
			       "bytes of UTF-8", CERTIFICATE_NAME_MAX);
	if (kv_get(a->txn, KV_TOKENS, str_n(sha->b, sizeof(sha->b)), &val) &&
	    token_row_decode(val, &row))
		return err_set(err, E_EXISTS, "the certificate \"%.*s\" is token "
			       "\"%.*s\" already", STR_ARG(op->certificate),
			       STR_ARG(row.name));
	return OK;
}

enum code apply_certificate_put(struct apply *a, const struct op *op,
				struct op_result *res, struct err *err)
{
	struct sha256 sha = certificate_key(op->certificate);
	enum code rc = check_put(a, op, err);

	if (rc == OK)
		rc = check_certificate(a, op, &sha, err);
	return rc ? rc : put(a, op, &sha, res);
}

static enum code check_subject(struct apply *a, const struct op *op,
			       struct err *err)
{
	if (op->author.n == 0 || op->author.n > AUTHOR_MAX ||
	    !str_is_utf8(op->author) || str_find(op->author, ':') != SIZE_MAX)
		return err_set(err, E_INVALID, "a subject's name has 1 to %d bytes of "
			       "UTF-8 and no colon", AUTHOR_MAX);
	/* What the audit log calls the cluster itself, and who showed nothing. */
	if (str_is(op->author, "system") || str_is(op->author, "anonymous"))
		return err_set(err, E_INVALID, "no subject is called \"%.*s\"",
			       STR_ARG(op->author));
	if (op->tenant.n > 63 || !groups_are_valid(op->groups))
		return err_set(err, E_INVALID, "tenant or groups of a subject are "
			       "malformed");
	if (op->count && op->count <= a->head->time_ms)
		return err_set(err, E_INVALID, "the token would have ended already");
	return OK;
}

enum code apply_subject_put(struct apply *a, const struct op *op,
			    struct op_result *res, struct err *err)
{
	struct sha256 sha = op->certificate.n ? certificate_key(op->certificate) :
						op->sha;
	enum code rc = check_put(a, op, err);

	if (rc == OK)
		rc = check_subject(a, op, err);
	if (rc == OK && op->certificate.n)
		rc = check_certificate(a, op, &sha, err);
	return rc ? rc : put(a, op, &sha, res);
}

/* One that is no certificate: whether those are asked for is a setting of nodes. */
static bool counts_as_root(const struct token_row *row)
{
	return row->role == ROLE_ROOT && row->certificate.n == 0;
}

static bool is_last_root(struct apply *a, const struct sha256 *sha)
{
	struct token_row row, own;
	struct kv_cursor c;
	struct str val;
	bool other = false;

	if (!kv_get(a->txn, KV_TOKENS, str_n(sha->b, sizeof(sha->b)), &val) ||
	    !token_row_decode(val, &own) || !counts_as_root(&own))
		return false;
	for (bool on = kv_seek(a->txn, KV_TOKENS, STR_NONE, &c); on && !other;
	     on = kv_next(&c))
		other = token_row_decode(c.val, &row) && counts_as_root(&row) &&
			!str_eq(row.name, own.name);
	kv_cursor_close(&c);
	return !other;
}

enum code apply_token_delete(struct apply *a, const struct op *op,
			     struct op_result *res, struct err *err)
{
	struct sha256 sha;

	if (!token_name_is_taken(a, op->name, &sha))
		return err_set(err, E_NOT_FOUND, "token \"%.*s\" not found",
			       STR_ARG(op->name));
	if (is_last_root(a, &sha)) {
		err_set(err, E_CONFLICT, "token \"%.*s\" is the last root token",
			STR_ARG(op->name));
		return err_hint(err, "make another first, or nobody could write "
				"any more: conflux token create NAME");
	}
	ap_diff(a, str_n(sha.b, sizeof(sha.b)), STR_NONE);
	ap_del(a, KV_TOKENS, str_n(sha.b, sizeof(sha.b)));
	a->token_changes++;
	*res = (struct op_result){ .changed = true };
	return OK;
}

/* Roles of the cluster are bound to none. */
void tokens_remove_of(struct apply *a, struct str tenant)
{
	struct kv_cursor c;
	bool on = kv_seek(a->txn, KV_TOKENS, STR_NONE, &c);

	while (on) {
		struct token_row row;
		struct str from;

		if (!token_row_decode(c.val, &row) || row.role != ROLE_NAMED ||
		    !str_eq(row.tenant, tenant)) {
			on = kv_next(&c);
			continue;
		}
		from = arena_str(a->arena, c.key);
		kv_cursor_close(&c);
		ap_diff(a, from, STR_NONE);
		ap_del(a, KV_TOKENS, from);
		a->token_changes++;
		on = kv_seek(a->txn, KV_TOKENS, from, &c);
	}
	kv_cursor_close(&c);
}
