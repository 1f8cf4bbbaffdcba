/* Messages on the wire: see message.h. */
#include "node/message.h"

#include <string.h>

#include "wire/wire.h"

#include "base/banned.h"

#define MESSAGE_FORMAT 1
#define ENTRY_BYTES_LEAST 3              /* term, type, length */

/* ---- encoding ---- */

static void put_append(struct buf *out, const struct engine_message *m)
{
	wr_var(out, m->append.prev_index);
	wr_var(out, m->append.prev_term);
	wr_var(out, m->append.commit);
	wr_var(out, m->append.n);
	for (unsigned i = 0; i < m->append.n; i++) {
		const struct engine_entry *e = &m->append.entries[i];

		wr_var(out, e->term);
		wr_u8(out, (uint8_t)e->type);
		wr_str(out, e->data);
	}
}

static void put_chain(struct buf *out, const struct engine_message *m)
{
	wr_var(out, m->chain.n);
	for (unsigned i = 0; i < m->chain.n; i++) {
		wr_var(out, m->chain.points[i].index);
		wr_raw(out, m->chain.points[i].digest,
		       sizeof(m->chain.points[i].digest));
	}
}

void message_encode(struct buf *out, const struct engine_message *m)
{
	wr_u8(out, MESSAGE_FORMAT);
	wr_u8(out, (uint8_t)m->type);
	wr_var(out, m->term);
	switch (m->type) {
	case ENGINE_M_APPEND:
		put_append(out, m);
		break;
	case ENGINE_M_APPEND_RESULT:
		wr_var(out, m->append_result.rejected);
		wr_var(out, m->append_result.last_index);
		break;
	case ENGINE_M_VOTE:
		wr_var(out, m->vote.candidate);
		wr_var(out, m->vote.last_index);
		wr_var(out, m->vote.last_term);
		wr_u8(out, m->vote.disrupt);
		wr_u8(out, m->vote.pre);
		break;
	case ENGINE_M_VOTE_RESULT:
		wr_u8(out, m->vote_result.granted);
		wr_u8(out, m->vote_result.pre);
		break;
	case ENGINE_M_INSTALL:
		wr_var(out, m->install.index);
		wr_var(out, m->install.term);
		wr_var(out, m->install.conf_index);
		wr_str(out, m->install.conf);
		break;
	case ENGINE_M_TIMEOUT_NOW:
		wr_var(out, m->timeout_now.last_index);
		wr_var(out, m->timeout_now.last_term);
		break;
	case ENGINE_M_READ_ROUND:
	case ENGINE_M_READ_AGREED:
	case ENGINE_M_READ_ASK:
		wr_var(out, m->read.number);
		break;
	case ENGINE_M_READ_ANSWER:
		wr_var(out, m->read.number);
		wr_var(out, m->read.index);
		break;
	case ENGINE_M_CHAIN:
		put_chain(out, m);
		break;
	case ENGINE_M_TURN:
		wr_u8(out, (uint8_t)m->turn.word);
		break;
	}
}

/* ---- decoding ---- */

static bool get_bool(struct rd *rd)
{
	uint8_t v = rd_u8(rd);

	rd->bad |= v > 1;
	return v;
}

static void get_append(struct rd *rd, struct arena *arena,
		       struct engine_message *m)
{
	uint64_t n;

	m->append.prev_index = rd_var(rd);
	m->append.prev_term = rd_var(rd);
	m->append.commit = rd_var(rd);
	n = rd_var(rd);
	/* What is claimed must be able to lie in what is left. */
	if (n > MESSAGE_ENTRIES_MAX || n > rd_left(rd) / ENTRY_BYTES_LEAST) {
		rd->bad = true;
		return;
	}
	m->append.n = (unsigned)n;
	m->append.entries = arena_alloc(arena, (n + 1) *
					sizeof(*m->append.entries));
	for (unsigned i = 0; i < n; i++) {
		struct engine_entry *e = &m->append.entries[i];

		e->term = rd_var(rd);
		e->type = (enum engine_type)rd_u8(rd);
		e->data = rd_str(rd);
		rd->bad |= e->term == 0 || e->type < ENGINE_COMMAND ||
			e->type > ENGINE_CHANGE;
	}
	/* An index and its term come together. */
	rd->bad |= !m->append.prev_index != !m->append.prev_term;
}

static void get_chain(struct rd *rd, struct arena *arena,
		      struct engine_message *m)
{
	uint64_t n = rd_var(rd), before = 0;

	if (n > MESSAGE_POINTS_MAX ||
	    n > rd_left(rd) / sizeof(m->chain.points->digest)) {
		rd->bad = true;
		return;
	}
	m->chain.n = (unsigned)n;
	m->chain.points = arena_alloc(arena, (n + 1) *
				      sizeof(*m->chain.points));
	for (unsigned i = 0; i < n; i++) {
		struct chain_point *p = &m->chain.points[i];
		struct str raw;

		p->index = rd_var(rd);
		raw = rd_raw(rd, sizeof(p->digest));
		if (raw.n == sizeof(p->digest))
			memcpy(p->digest, raw.p, raw.n);
		rd->bad |= p->index <= before;
		before = p->index;
	}
}

static void get_body(struct rd *rd, struct arena *arena,
		     struct engine_message *m)
{
	switch (m->type) {
	case ENGINE_M_APPEND:
		get_append(rd, arena, m);
		break;
	case ENGINE_M_APPEND_RESULT:
		m->append_result.rejected = rd_var(rd);
		m->append_result.last_index = rd_var(rd);
		break;
	case ENGINE_M_VOTE:
		m->vote.candidate = rd_var(rd);
		m->vote.last_index = rd_var(rd);
		m->vote.last_term = rd_var(rd);
		m->vote.disrupt = get_bool(rd);
		m->vote.pre = get_bool(rd);
		rd->bad |= m->vote.candidate == 0;
		break;
	case ENGINE_M_VOTE_RESULT:
		m->vote_result.granted = get_bool(rd);
		m->vote_result.pre = get_bool(rd);
		break;
	case ENGINE_M_INSTALL:
		m->install.index = rd_var(rd);
		m->install.term = rd_var(rd);
		m->install.conf_index = rd_var(rd);
		m->install.conf = rd_str(rd);
		rd->bad |= !m->install.index || !m->install.term ||
			!m->install.conf.n;
		break;
	case ENGINE_M_TIMEOUT_NOW:
		m->timeout_now.last_index = rd_var(rd);
		m->timeout_now.last_term = rd_var(rd);
		break;
	case ENGINE_M_READ_ROUND:
	case ENGINE_M_READ_AGREED:
	case ENGINE_M_READ_ASK:
		m->read.number = rd_var(rd);
		break;
	case ENGINE_M_READ_ANSWER:
		m->read.number = rd_var(rd);
		m->read.index = rd_var(rd);
		break;
	case ENGINE_M_CHAIN:
		get_chain(rd, arena, m);
		break;
	case ENGINE_M_TURN:
		m->turn.word = (enum turn_word)rd_u8(rd);
		rd->bad |= m->turn.word < TURN_ASK || m->turn.word > TURN_BUSY;
		break;
	}
}

enum code message_decode(struct arena *arena, struct str in,
			 struct engine_message *out, struct err *err)
{
	struct rd rd = rd_of(in);
	uint8_t format = rd_u8(&rd), type = rd_u8(&rd);

	if (!rd.bad && (format != MESSAGE_FORMAT || type < ENGINE_M_APPEND ||
			type > ENGINE_M_TURN))
		return err_set(err, E_UNSUPPORTED, "a message of format %u and "
			       "type %u", format, type);
	*out = (struct engine_message){ .type = (enum engine_message_type)type,
					.term = rd_var(&rd) };
	get_body(&rd, arena, out);
	if (!rd_done(&rd) || out->term == 0)
		return err_set(err, E_INVALID, "a message that is malformed");
	return OK;
}
