/*
 * Envelopes: see seal.h.  In bytes: version (1), kind (1 provider, 2 public key),
 * name of the key, wrapped file key; both strings a varint with the length and
 * the bytes.
 */
#include "seal/pair.h"

#include "base/rand.h"
#include "base/secret.h"
#include "wire/wire.h"

#include "base/banned.h"

#define VERSION 1

enum kind { KIND_PROVIDER = 1, KIND_PUBLIC = 2 };

struct envelope {
	enum kind kind;
	struct str name, wrapped;
};

bool seal_is_on(const struct seal_provider *p)
{
	return p && p->current(p->data);
}

static void encode(struct buf *out, const struct envelope *e)
{
	must(e->name.n && e->name.n <= SEAL_NAME_MAX &&
	     e->wrapped.n <= SEAL_WRAPPED_MAX);
	wr_u8(out, VERSION);
	wr_u8(out, (uint8_t)e->kind);
	wr_str(out, e->name);
	wr_str(out, e->wrapped);
}

static bool decode(struct str bytes, struct envelope *out)
{
	struct rd rd = rd_of(bytes);
	uint8_t version = rd_u8(&rd);

	out->kind = (enum kind)rd_u8(&rd);
	out->name = rd_str(&rd);
	out->wrapped = rd_str(&rd);
	return rd_done(&rd) && version == VERSION &&
	       (out->kind == KIND_PROVIDER || out->kind == KIND_PUBLIC) &&
	       out->name.n && out->name.n <= SEAL_NAME_MAX &&
	       out->wrapped.n <= SEAL_WRAPPED_MAX;
}

struct str seal_envelope_name(struct str envelope)
{
	struct envelope e;

	return decode(envelope, &e) ? e.name : STR_NONE;
}

enum code seal_envelope_new(const struct seal_provider *p, struct str context,
			    struct seal_key *key, struct buf *out,
			    struct err *err)
{
	AUTO_BUF wrapped = BUF_NONE;
	const char *name = p->current(p->data);
	enum code rc;

	must(name);
	rand_bytes(key->b, sizeof(key->b));
	rc = p->wrap(p->data, context, key, &wrapped, err);
	if (rc == OK && wrapped.n > SEAL_WRAPPED_MAX)
		rc = err_set(err, E_TOO_LARGE, "the key \"%s\" makes %zu bytes of "
			     "a wrapped key, at most %d fit", name, wrapped.n,
			     SEAL_WRAPPED_MAX);
	if (rc) {
		wipe(key, sizeof(*key));
		return rc;
	}
	encode(out, &(struct envelope){ KIND_PROVIDER, str_of(name),
					buf_view(&wrapped) });
	return OK;
}

enum code seal_envelope_to(const struct seal_public *to, struct str context,
			   struct seal_key *key, struct buf *out,
			   struct err *err)
{
	AUTO_BUF wrapped = BUF_NONE;

	rand_bytes(key->b, sizeof(key->b));
	pair_wrap(to, context, key, &wrapped);
	encode(out, &(struct envelope){ KIND_PUBLIC,
					str_of(seal_public_name(to)),
					buf_view(&wrapped) });
	return OK;
}

static enum code open_own(const struct seal_private *own, struct str context,
			  const struct envelope *e, struct seal_key *key,
			  struct err *err)
{
	if (own && str_eq(str_of(seal_private_name(own)), e->name))
		return pair_unwrap(own, context, e->wrapped, key, err);
	err_set(err, E_DENIED, "it is sealed to the public key %.*s; %s%s",
		STR_ARG(e->name), own ? "this private key is of " :
		"no private key is given", own ? seal_private_name(own) : "");
	return err_hint(err, "give the private key that belongs to it");
}

enum code seal_envelope_open(const struct seal_provider *p,
			     const struct seal_private *own, struct str context,
			     struct str envelope, struct seal_key *key,
			     struct err *err)
{
	struct envelope e;

	if (!decode(envelope, &e))
		return err_set(err, E_CORRUPT, "the wrapped key is malformed");
	if (e.kind == KIND_PUBLIC)
		return open_own(own, context, &e, key, err);
	if (p)
		return p->unwrap(p->data, e.name, context, e.wrapped, key, err);
	err_set(err, E_DENIED, "it is sealed with the key \"%.*s\", and no keys are "
		"given", STR_ARG(e.name));
	return err_hint(err, "name the key file in the settings again");
}
