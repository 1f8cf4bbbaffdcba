/* The body of a callback: see callback.h. */
#include "api/callback.h"

#include "base/hex.h"
#include "doc/format.h"

#include "base/banned.h"

static const char *const members[] = { "proposal", "digest", "decision", "reason" };

static bool is_member(const struct member *m)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (str_eq(m->key, str_of(members[i])))
			return m->value->type == VALUE_STRING;
	return false;
}

enum code callback_read(struct arena *arena, struct str body,
			struct callback *out, struct err *err)
{
	struct value *v;
	struct str decision;
	enum code rc = doc_parse_json(body, arena, NULL, &v, err);

	if (rc)
		return rc;
	if (v->type != VALUE_OBJECT)
		return err_set(err, E_UNPROCESSABLE, "the body must be an object");
	for (size_t i = 0; i < v->o.n; i++)
		if (!is_member(&v->o.m[i]))
			return err_set(err, E_UNPROCESSABLE, "\"%.*s\" is not known "
				       "here, or no text",
				       STR_ARG(str_first(v->o.m[i].key, 100)));
	*out = (struct callback){
		.proposal = value_text(value_getz(v, "proposal")),
		.reason = value_text(value_getz(v, "reason")),
	};
	decision = value_text(value_getz(v, "decision"));
	if (str_is(decision, "approve"))
		out->vote = VOTE_APPROVE;
	else if (str_is(decision, "reject"))
		out->vote = VOTE_REJECT;
	else
		return err_set(err, E_UNPROCESSABLE, "\"decision\" is approve or "
			       "reject");
	if (!is_dns_subdomain(out->proposal))
		return err_set(err, E_UNPROCESSABLE, "\"proposal\" is the name of a "
			       "ReleaseProposal");
	if (!hex_parse(value_text(value_getz(v, "digest")), out->digest.b,
		       sizeof(out->digest.b)))
		return err_set(err, E_UNPROCESSABLE, "\"digest\" is the plan's, 64 hex "
			       "digits");
	if (out->reason.n > CALLBACK_REASON_MAX)
		return err_set(err, E_UNPROCESSABLE, "\"reason\" has at most %d bytes",
			       CALLBACK_REASON_MAX);
	return OK;
}
