/*
 * Opening a node: which checkpoint holds, what the log has above it, and where
 * the machine stands.  Nothing of the log stays in memory but terms.
 */
#include <string.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

#define PART "raft"
#define SPARES_MAX 16u                   /* segments: as many as a checkpoint frees */

#define ULL(x) ((unsigned long long)(x))

/* ---- the newest whole checkpoint ---- */

/* It is read whole, so that the machine is never given a damaged one.  Whether
 * an older one does is decided by how far the log reaches back. */
static enum code find_base(struct node_core *c, struct err *err)
{
	unsigned damaged;
	enum code rc = checkpoint_find(node_core_files(c), c->checkpoint_dir,
				       c->identity.cluster, &c->base, &damaged,
				       err);

	if (rc)
		return rc;
	if (damaged)
		log_warn(PART, LOG_KV(log_u("damaged", damaged),
				      log_u("index", c->base.index)),
			 "checkpoints that are damaged are passed over");
	core_configure(c, c->base.conf_index, buf_view(&c->base.conf));
	return OK;
}

/* ---- the log ---- */

static void forget_from(struct node_core *c, uint64_t index)
{
	while (c->n_recovered && c->recovered_first + c->n_recovered > index) {
		struct engine_entry *e = &c->recovered[--c->n_recovered];

		if (e->type == ENGINE_CHANGE)
			free((char *)(uintptr_t)e->data.p);
	}
}

/* Of commands only the size is kept: who applies them reads them again. */
static struct engine_entry in_short(const struct wal_entry *e)
{
	struct engine_entry out = { e->term, (enum engine_type)e->type,
				    { NULL, e->data.n } };

	if (out.type == ENGINE_CHANGE)
		out.data.p = mem_dup(e->data.p, e->data.n);
	return out;
}

static enum code recovered(void *data, const struct wal_entry *e,
			   struct err *err)
{
	struct node_core *c = data;

	if (c->log_first && e->index > c->log_last + 1)
		return err_set(err, E_CORRUPT, "entry %llu does not follow %llu",
			       ULL(e->index), ULL(c->log_last));
	if (!c->log_first || e->index < c->log_first)
		c->log_first = e->index;
	c->log_last = e->index;
	/* A record that starts lower replaces what was behind. */
	forget_from(c, e->index);
	if (e->index <= c->base.index)
		return OK;
	if (c->n_recovered == 0)
		c->recovered_first = e->index;
	mem_grow((void **)&c->recovered, &c->cap_recovered, c->n_recovered + 1,
		 sizeof(*c->recovered));
	c->recovered[c->n_recovered++] = in_short(e);
	return OK;
}

/* The first entry of a new cluster says who votes.  A crash may come before it
 * is durable; but before term and vote are written there is a segment. */
static enum code bootstrap(struct node_core *c, bool had_segments,
			   struct err *err)
{
	struct wal_entry e = { .index = 1, .term = 1, .type = ENGINE_CHANGE };
	AUTO_BUF bytes = BUF_NONE;
	enum code rc;

	if (!had_segments && c->vote.generation) {
		err_set(err, E_CORRUPT, "%s/wal is empty, but this node is not "
			"new", c->dir);
		return err_hint(err, "restore the folder, or wipe the data "
				     "directory and restore a backup");
	}
	if (c->n_founders == 0)          /* it waits to be made a member */
		return OK;
	engine_bootstrap(&bytes, c->founders, c->n_founders);
	e.data = buf_view(&bytes);
	c->vote.term = MAX(c->vote.term, (uint64_t)1);
	rc = vote_write(c->fs, c->dir, &c->vote, err);
	if (rc == OK)
		rc = wal_append(c->wal, &e, 1, err);
	return rc ? rc : recovered(c, &e, err);
}

/* The entry of a checkpoint is always kept in the log beside it, so the two
 * meet, or something was taken away. */
static enum code check_meeting(struct node_core *c, struct err *err)
{
	if (c->log_first > c->base.index + 1) {
		err_set(err, E_CORRUPT, "the log begins at entry %llu, but the "
			"newest whole checkpoint ends at %llu: entries %llu to "
			"%llu are missing", ULL(c->log_first), ULL(c->base.index),
			ULL(c->base.index + 1), ULL(c->log_first - 1));
		return err_hint(err, "put the missing checkpoint back into %s, "
				"or wipe the data directory and restore a backup",
				c->checkpoint_dir);
	}
	if (c->log_last >= c->base.index)
		return OK;
	/* One that was installed has no log before it. */
	if (c->log_last == 0 && c->mark.done_index == c->base.index) {
		c->log_last = c->base.index;
		return OK;
	}
	err_set(err, E_CORRUPT, "the log ends at entry %llu, below the "
		"checkpoint at %llu: segments are missing", ULL(c->log_last),
		ULL(c->base.index));
	return err_hint(err, "put the missing segments back into %s/wal, or "
			     "wipe the data directory and restore a backup",
			c->dir);
}

/* Of the log, and of what stands before it. */
static uint64_t last_term(const struct node_core *c)
{
	return c->n_recovered ? c->recovered[c->n_recovered - 1].term :
				c->base.term;
}

/* A term is durable before anything of it is written. */
static enum code check_term(const struct node_core *c, struct err *err)
{
	uint64_t term = last_term(c);

	if (term <= c->vote.term)
		return OK;
	err_set(err, E_CORRUPT, "%s: the log has entries of term %llu, but "
		"vote.0 and vote.1 %s %llu", c->dir, ULL(term),
		c->vote.generation ? "know of none above" : "are missing: term",
		ULL(c->vote.term));
	return err_hint(err, "without its vote this node could vote twice: put "
			     "the files back, or wipe its data and let it join "
			     "again");
}

/* A copy is made again by vote_settle; a disk that does this will do it again. */
static enum code open_vote(struct node_core *c, struct err *err)
{
	enum code rc = vote_read(c->fs, c->dir, &c->vote, err);

	for (unsigned i = 0; rc == OK && i < VOTE_COPIES; i++)
		if (c->vote.damaged & BIT(i))
			log_warn(PART, LOG_KV(log_u("term", c->vote.term)),
				 "%s/vote.%u was damaged, or its write was torn: "
				 "the other copy counts, and it is made again",
				 c->dir, i);
	return rc ? rc : vote_settle(c->fs, c->dir, &c->vote, err);
}

/*
 * An install that was not ended: its log goes, if its checkpoint counts.  If it
 * does not, it never will: a mark that was left could name a checkpoint that this
 * node makes of its own log later.
 */
static enum code end_install(struct node_core *c, struct err *err)
{
	enum code rc;

	if (!c->mark.begun_index)
		return OK;
	if (c->mark.begun_index != c->base.index ||
	    c->mark.begun_term != c->base.term) {
		c->mark.begun_index = c->mark.begun_term = 0;
		return mark_write(c->fs, c->dir, &c->mark, err);
	}
	forget_from(c, 0);
	c->log_first = c->log_last = 0;
	rc = wal_restart(c->wal, err);
	c->mark = (struct mark){ .done_index = c->base.index };
	return rc ? rc : mark_write(c->fs, c->dir, &c->mark, err);
}

/* A folder that cannot be listed is not taken for an empty one. */
static enum code has_segments(struct fs *fs, const char *dir, bool *out,
			      struct err *err)
{
	AUTO_BUF names = BUF_NONE;
	struct str rest;
	enum code rc = fs->ops->list(fs, dir, &names, err);

	*out = false;
	if (rc)
		return rc == E_NOT_FOUND ? OK : rc;
	for (rest = buf_view(&names); rest.n;)
		*out |= str_ends(str_cut(&rest, '\0'), STR(".seg"));
	return OK;
}

/* What was not opened whole is opened again from its beginning. */
static void close_log(struct node_core *c)
{
	wal_close(&c->wal);
	forget_from(c, 0);
	c->recovered_first = c->log_first = c->log_last = 0;
}

static enum code open_log(struct node_core *c, struct err *err)
{
	AUTO_BUF dir = BUF_NONE;
	struct wal_config config = { .fs = c->fs, .node = c->config.node_id,
				     .cluster = c->identity.cluster,
				     .segment_bytes = c->config.segment_bytes,
				     .spares_max = SPARES_MAX,
				     .tending = c->tending,
				     .seal = c->config.seal };
	bool had_segments = false;
	/* A vote whose name was not synced before the process ended must not be
	 * lost once it was acted upon. */
	enum code rc = c->fs->ops->sync_dir(c->fs, c->dir, err);

	buf_printf(&dir, "%s/wal", c->dir);
	config.dir = dir.p;
	if (rc == OK)
		rc = open_vote(c, err);
	if (rc == OK)
		rc = has_segments(c->fs, dir.p, &had_segments, err);
	if (rc == OK)
		rc = mark_read(c->fs, c->dir, &c->mark, err);
	if (rc == OK)
		rc = wal_open(&config, recovered, c, &c->wal, err);
	if (rc == OK)
		rc = end_install(c, err);
	if (rc == OK && c->log_first == 0 && c->base.index == 0)
		rc = bootstrap(c, had_segments, err);
	if (rc == OK)
		rc = check_meeting(c, err);
	if (rc == OK)
		rc = check_term(c, err);
	c->durable = c->log_last;
	if (rc == OK)
		c->record_bytes = MIN((size_t)4 << 20, wal_record_max(c->wal));
	return rc;
}

/* ---- the machine ---- */

static const struct engine_entry *recovered_at(const struct node_core *c,
					       uint64_t index)
{
	if (c->n_recovered == 0 || index < c->recovered_first ||
	    index >= c->recovered_first + c->n_recovered)
		return NULL;
	return &c->recovered[index - c->recovered_first];
}

static enum code check_state(const struct node_core *c,
			     const struct rc_applied *at, struct err *err)
{
	const struct engine_entry *e = recovered_at(c, at->index);

	if (at->index < c->base.index)
		return err_set(err, E_INTERNAL, "the state stands at %llu and did "
			       "not take the checkpoint at %llu", ULL(at->index),
			       ULL(c->base.index));
	/* The state of a checkpoint that was installed may stand above it, and
	 * the log behind it come later. */
	if (at->index > c->log_last &&
	    !(c->base.index && c->mark.done_index == c->base.index))
		return err_set(err, E_CORRUPT, "the state is at index %llu, but "
			       "the log ends at %llu", ULL(at->index),
			       ULL(c->log_last));
	if (e && e->term != at->term)
		return err_set(err, E_CORRUPT, "the state is at index %llu of "
			       "term %llu, which the log has with term %llu",
			       ULL(at->index), ULL(at->term), ULL(e->term));
	return OK;
}

/* Membership and log since the checkpoint, up to where the machine stands. */
static void replay_short(struct node_core *c)
{
	for (uint64_t i = c->base.index + 1; i <= MIN(c->applied, c->log_last);
	     i++) {
		const struct engine_entry *e = recovered_at(c, i);

		c->log_since_bytes += e->data.n + ENTRY_OVERHEAD;
		if (e->type == ENGINE_CHANGE)
			core_configure(c, i, e->data);
	}
}

/* Each start begins a segment, however little the last one holds: who starts over
 * and over takes a checkpoint before the disk is full of them. */
static bool is_scattered(const struct node_core *c)
{
	uint64_t full = c->config.checkpoint_log_bytes / c->config.segment_bytes;
	struct wal_stats st;

	if (!c->wal)                     /* there is no cluster yet */
		return false;
	wal_stats_get(c->wal, &st);
	return st.segments > 4 * full + 16;
}

static enum code open_machine(struct node_core *c, struct err *err)
{
	const struct rc_machine *m = &c->config.machine;
	AUTO_BUF picture = BUF_NONE;
	struct rc_checkpoint from = { .fs = node_core_files(c),
				      .index = c->base.index };
	struct rc_applied at = { 0 };
	enum code rc;

	if (c->base.index)
		checkpoint_path(c->checkpoint_dir, &c->base, ".ckpt", &picture);
	from.path = picture.p;
	rc = m->open(m->data, c->state_dir, c->base.index ? &from : NULL, &at,
		     err);
	if (rc)
		return rc;
	rc = check_state(c, &at, err);
	if (rc) {
		if (m->close)
			m->close(m->data);
		return rc;
	}
	c->applied = c->commit = at.index;
	c->applied_term = at.term;
	c->machine_bytes = c->copied_machine_bytes = m->bytes(m->data);
	if (m->digest) {
		uint8_t digest[32];

		m->digest(m->data, digest);
		core_noted(c, 0, digest);
	}
	replay_short(c);
	c->is_scattered = is_scattered(c);
	c->skip_next = c->applied > c->log_last ? c->log_last + 1 : 0;
	return OK;
}

/* ---- all of it ---- */

static char *below(const struct node_core *c, const char *name)
{
	AUTO_BUF path = BUF_NONE;

	buf_printf(&path, "%s/%s", c->dir, name);
	return buf_take(&path);
}

static enum code open_engine(struct node_core *c, struct err *err)
{
	struct engine_config engine = { c->config.node_id, c->address,
					c->config.election_timeout_ms,
					c->config.heartbeat_ms, c->seed };

	return engine_new(&engine, &c->engine, err);
}

static void free_founders(struct node_core *c)
{
	for (size_t i = 0; i < c->n_founders; i++)
		free((char *)(uintptr_t)c->founders[i].address);
	free(TAKE(c->founders));
	c->n_founders = 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct engine_peer *)a)->id;
	uint64_t y = ((const struct engine_peer *)b)->id;

	return x < y ? -1 : x > y;
}

/* Those that were agreed on, whatever the configuration says now. */
static void take_agreed(struct node_core *c)
{
	const struct identity *id = &c->identity;

	free_founders(c);
	c->founders = mem_zero((id->n_founders + 1) * sizeof(*c->founders));
	c->n_founders = id->n_founders;
	for (size_t i = 0; i < id->n_founders; i++) {
		const struct founder *f = &id->founders[i];

		c->founders[i] = (struct engine_peer){
			f->id, mem_dup(f->address, strlen(f->address)), true };
	}
	qsort(c->founders, c->n_founders, sizeof(*c->founders), by_id);
}

static enum code open_all(struct node_core *c, bool forms,
			  const struct uuid *cluster, struct err *err)
{
	enum code rc = fs_make_dir(c->fs, c->dir, err);

	if (rc == OK)
		rc = identity_open(c->fs, c->dir, c->config.node_id,
				   cluster, forms, &c->identity, err);
	if (rc == OK && (forms || c->identity.n_founders))
		take_agreed(c);
	if (rc == OK)
		rc = fence_read(c->fs, c->dir, &c->fence, err);
	c->files = checkpoint_files_new(c->fs, c->config.seal,
					c->identity.cluster);
	if (rc == OK && !c->identity.waits)
		rc = find_base(c, err);
	if (rc == OK && !c->identity.waits)
		rc = open_log(c, err);
	if (rc == OK)
		rc = open_engine(c, err);
	if (rc == OK)
		rc = open_machine(c, err);
	return rc;
}

/* A cluster of one, where no list was given. */
static void take_founders(struct node_core *c,
			  const struct node_core_config *config)
{
	size_t n = config->joins ? 0 : MAX(config->n_members, (size_t)1);

	c->founders = mem_zero((n + 1) * sizeof(*c->founders));
	c->n_founders = n;
	for (size_t i = 0; i < n; i++) {
		const struct node_member *m = config->n_members ?
			&config->members[i] : &(struct node_member){
				c->config.node_id, c->config.address };

		c->founders[i] = (struct engine_peer){
			m->id, mem_dup(m->address, strlen(m->address)), true };
	}
	qsort(c->founders, n, sizeof(*c->founders), by_id);
}

struct uuid node_cluster_of(const struct node_member *members, size_t n)
{
	struct sha256_ctx *ctx = sha256_new();
	uint64_t below = 0;
	struct sha256 sum;
	struct uuid out;

	sha256_start(ctx);
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF line = BUF_NONE;
		const struct node_member *next = NULL;

		/* In the order of the ids, as everyone has them. */
		for (size_t k = 0; k < n; k++)
			if (members[k].id > below &&
			    (!next || members[k].id < next->id))
				next = &members[k];
		if (!next)
			break;
		buf_printf(&line, "%llu=%s\n", ULL(next->id), next->address);
		sha256_add(ctx, line.p, line.n);
		below = next->id;
	}
	sum = sha256_end(ctx);
	sha256_ctx_free(&ctx);
	memcpy(out.b, sum.b, sizeof(out.b));
	return out;
}

/* Ids and addresses are those of different servers, and this is one of them. */
static enum code check_members(const struct node_core_config *config,
			       struct err *err)
{
	bool is_one = config->n_members == 0 || config->forms;

	for (size_t i = 0; i < config->n_members; i++) {
		const struct node_member *m = &config->members[i];

		is_one |= m->id == config->node->node_id;
		if (m->id == 0)
			return err_set(err, E_INVALID, "a member has id 0");
		for (size_t k = 0; k < i; k++)
			if (config->members[k].id == m->id ||
			    strcmp(config->members[k].address, m->address) == 0)
				return err_set(err, E_INVALID, "member %llu=%s is "
					       "named twice", ULL(m->id),
					       m->address);
	}
	if (is_one)
		return OK;
	err_set(err, E_INVALID, "node %llu is not among the first members",
		ULL(config->node->node_id));
	return err_hint(err, "give every first member the same list, and let a "
			     "later one join");
}

enum code node_core_open(const struct node_core_config *config,
			 struct node_core **out, struct err *err)
{
	struct uuid of_list = node_cluster_of(config->members,
					      config->n_members);
	const struct uuid *cluster = config->cluster ? config->cluster :
		config->n_members && !config->forms ? &of_list : NULL;
	enum code rc = check_members(config, err);
	struct node_core *c;

	if (rc)
		return rc;
	c = NEW(struct node_core);
	c->config = *config->node;
	c->fs = config->fs;
	c->tending = config->tending;
	c->host = config->host;
	c->host_data = config->host_data;
	c->unwritten_last = &c->unwritten;
	/* Answers to an earlier life's asks are not taken for this one's. */
	c->reads.number = (uint64_t)config->seed << 32;
	c->dir = mem_dup(c->config.dir, strlen(c->config.dir));
	c->config.dir = c->dir;
	c->address = mem_dup(c->config.address, strlen(c->config.address));
	c->config.address = c->address;
	c->seed = config->seed;
	take_founders(c, config);
	c->state_dir = below(c, "state");
	c->checkpoint_dir = below(c, "checkpoints");
	rc = open_all(c, config->forms, cluster, err);
	if (rc) {
		node_core_free(&c);
		return rc;
	}
	*out = c;
	return OK;
}

/* ---- a cluster that is formed ---- */

bool node_core_waits(const struct node_core *c)
{
	return c->identity.waits;
}

/* Until there is a log it waits, whatever is written down: where there is no room
 * this is done again. */
static enum code form(struct node_core *c, const struct uuid *cluster,
		      const struct founder *founders, size_t n, struct err *err)
{
	struct identity id = c->identity;
	enum code rc;

	must(id.waits && !c->wal && n <= FOUNDERS_MAX);
	rc = failpoint_hit(FP_FORM_FOUND, err);
	if (rc)
		return rc;
	id.waits = false;
	id.cluster = *cluster;
	id.n_founders = n;
	if (n)
		memcpy(id.founders, founders, n * sizeof(*founders));
	rc = identity_write(c->fs, c->dir, &id, err);
	if (rc == OK)
		rc = failpoint_hit(FP_FORM_WRITTEN, err);
	if (rc)
		return rc;
	c->identity = id;
	c->identity.waits = true;
	checkpoint_files_bind(c->files, id.cluster);
	take_agreed(c);
	rc = open_log(c, err);
	if (rc) {
		close_log(c);
		return rc;
	}
	c->identity.waits = false;
	engine_free(&c->engine);
	must(open_engine(c, err) == OK);
	return failpoint_hit(FP_FORM_LOG, err);
}

enum code node_core_form(struct node_core *c, const struct uuid *cluster,
			 const struct founder *founders, size_t n,
			 struct err *err)
{
	enum code rc = form(c, cluster, founders, n, err);

	if (rc)
		err_wrap(err, "forming the cluster");
	if (rc && rc != E_FULL)
		core_fail(c, err);
	return rc;
}

void core_free_recovered(struct node_core *c)
{
	forget_from(c, 0);
	free(c->recovered);
	c->recovered = NULL;
	c->cap_recovered = 0;
}

void node_core_free(struct node_core **cp)
{
	struct node_core *c = *cp;

	if (!c)
		return;
	core_free_recovered(c);
	core_free_slots(c);
	core_free_boxes(c);
	node_loaded_fini(&c->loaded);
	node_loaded_fini(&c->to_send);
	checkpoint_fini(&c->base);
	checkpoint_fini(&c->pending);
	checkpoint_fini(&c->incoming);
	free(c->incoming_path);
	free(c->turns.peers);
	free(c->ships);
	core_detect_end(c);
	free(c->reads.agreed);
	free(c->reads.asks);
	buf_fini(&c->conf);
	engine_free(&c->engine);
	wal_close(&c->wal);
	seal_files_free(&c->files);
	free_founders(c);
	free(c->dir);
	free(c->address);
	free(c->state_dir);
	free(c->checkpoint_dir);
	free(c);
	*cp = NULL;
}
