/*
 * One node on simulated time and disk: log, engine and apply through crashes.
 *
 * The core of a node (node_core.h) is driven by one thread that picks at random
 * what happens next: a write of the log is done, a batch is applied, a
 * checkpoint goes a step on, commands are proposed, time passes.  The disk
 * (io/sim/disk.h) goes down at a chosen step, tears and loses what was not
 * synced, damages a checkpoint where the one before is enough, and writes what it
 * was not given; the machine's own state is lost with the power, as its file would
 * be (store.state is dirty under another boot id), and sometimes with the process.
 *
 * What must hold, whatever happens:
 *	- a start after a crash never finds damage;
 *	- entries are applied in order, each once in the life of a state;
 *	- what was applied once at an index is what is applied there ever after,
 *	  with the same effect digest;
 *	- what was applied, and so acknowledged, is there after every start;
 *	- the term never goes back, and no term is led in twice.
 *
 * First every step of a short run is crashed at, one after the other; then
 * whole histories of crashes follow from seeds.  SEEDS=n how many (120), SEED=n
 * replays one, VERBOSE=1 tells its story.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "damage.h"
#include "node/node_core.h"
#include "seal/keyring.h"
#include "wire/wire.h"

#include "base/banned.h"

#define INDEX_MAX 20000
#define JOBS_MAX 256
#define ITEMS_MAX 4096
#define LIVES 8

/* ---- what is known outside of the node ---- */

struct truth {
	bool is_known;
	struct sha256 data, digest;      /* of the entry; of the state behind */
};

struct toy {
	uint64_t index, term, commands;
	struct sha256 digest;
};

struct rc_frozen {
	struct toy at;
};

enum job_type { JOB_APPEND, JOB_LOAD, JOB_CUT };

struct job {
	enum job_type type;
	struct append *append;
	uint64_t from, to;
};

struct item {
	struct rc_proposal p;
	struct buf bytes;
};

static struct world {
	uint64_t seed;
	struct prng prng;
	struct disk *disk;
	struct truth truth[INDEX_MAX];
	uint64_t acked;                  /* highest index that was applied */
	uint64_t term, led;              /* highest that was seen, led in */
	uint64_t now_ms, next_id;

	struct toy toy;                  /* the machine's live state */
	bool toy_is_lost;
	unsigned n_named;                /* checkpoints since the last damage */

	struct node_core *core;
	struct job jobs[JOBS_MAX];       /* of the log, in order */
	size_t n_jobs;
	const struct rc_entry *batch;
	size_t n_batch;
	const struct checkpoint *checkpoint;     /* to be frozen */
	struct rc_frozen *frozen;                /* to be written */
	struct checkpoint freezing;
	bool is_fatal;
	struct item *items;
	size_t n_items;
} w;

static unsigned long long checks, failures;
static bool verbose;

static void tell(const char *fmt, ...) PRINTF(1, 2);

static void tell(const char *fmt, ...)
{
	va_list ap;

	if (!verbose)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* The run ends at the first thing that does not hold. */
static bool broken;

static bool holds(bool what, const char *fmt, ...) PRINTF(2, 3);

static bool holds(bool what, const char *fmt, ...)
{
	va_list ap;

	if (what || broken)
		return what;
	broken = true;
	printf("SEED=%llu: ", (unsigned long long)w.seed);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	return false;
}

static uint64_t below(uint64_t n)
{
	return prng_below(&w.prng, n);
}

/* ---- the machine ---- */

static struct sha256 next_digest(const struct toy *toy, const struct rc_entry *e)
{
	AUTO_BUF b = BUF_NONE;

	wr_raw(&b, toy->digest.b, sizeof(toy->digest.b));
	wr_u64(&b, e->index);
	wr_u64(&b, e->term);
	wr_str(&b, e->data);
	return sha256_of(buf_view(&b));
}

static enum code toy_open(void *data, const char *dir,
			  const struct rc_checkpoint *from,
			  struct rc_applied *out, struct err *err)
{
	AUTO_BUF bytes = BUF_NONE;

	if (w.toy_is_lost) {
		w.toy = (struct toy){ 0 };
		if (from) {
			enum code rc = fs_get(from->fs, from->path, &bytes, err);

			if (rc)
				return rc;
			holds(bytes.n >= sizeof(w.toy), "a short checkpoint");
			memcpy(&w.toy, bytes.p, sizeof(w.toy));
			tell("  the machine opens a checkpoint at %llu",
			     (unsigned long long)w.toy.index);
		}
		w.toy_is_lost = false;
	}
	*out = (struct rc_applied){ w.toy.index, w.toy.term };
	return OK;
}

static void apply_one(const struct rc_entry *e)
{
	struct truth *t = &w.truth[e->index];
	struct sha256 data = sha256_of(e->data);
	struct sha256 digest = next_digest(&w.toy, e);

	if (!holds(e->index == w.toy.index + 1, "entry %llu is applied after "
		   "%llu", (unsigned long long)e->index,
		   (unsigned long long)w.toy.index))
		return;
	if (t->is_known) {
		holds(sha256_eq(&t->data, &data), "entry %llu is another than "
		      "was applied", (unsigned long long)e->index);
		holds(sha256_eq(&t->digest, &digest), "entry %llu has another "
		      "effect", (unsigned long long)e->index);
	}
	*t = (struct truth){ true, data, digest };
	w.toy.index = e->index;
	w.toy.term = e->term;
	w.toy.commands += e->is_command;
	w.toy.digest = digest;
	w.acked = MAX(w.acked, e->index);
}

/* A machine without it has no checkpoints taken; this one's are by the host. */
static enum code toy_freeze(void *data, struct rc_frozen **out,
			    struct rc_applied *at, struct err *err)
{
	return err_set(err, E_INTERNAL, "the world freezes by itself");
}

static uint64_t toy_bytes(void *data)
{
	return 1000;
}

/* ---- the host: asks are queued ---- */

static void add_job(struct job job)
{
	must(w.n_jobs < JOBS_MAX);
	w.jobs[w.n_jobs++] = job;
}

static void host_append(void *host, struct append *append)
{
	add_job((struct job){ JOB_APPEND, append, 0, 0 });
}

static void host_load(void *host, uint64_t from, uint64_t to)
{
	add_job((struct job){ JOB_LOAD, NULL, from, to });
}

static void host_cut(void *host, uint64_t index)
{
	add_job((struct job){ JOB_CUT, NULL, index, 0 });
}

static void host_apply(void *host, const struct rc_entry *entries, size_t n,
		       bool makes_ready, bool wants_digest)
{
	must(!w.batch && !w.checkpoint);
	w.batch = entries;
	w.n_batch = n;
}

static void host_checkpoint(void *host, const struct checkpoint *c)
{
	must(!w.batch && !w.checkpoint && !w.frozen);
	w.checkpoint = c;
}

static void host_refuse(void *host, struct rc_proposal *p, enum code rc,
			const char *text)
{
	holds(rc != E_INVALID && rc != E_INTERNAL, "a proposal is refused: %s",
	      text);
}

static void host_role(void *host, bool is_leader, uint64_t leader,
		      uint64_t term)
{
	if (!is_leader)
		return;
	holds(term > w.led, "term %llu is led in again",
	      (unsigned long long)term);
	w.led = MAX(w.led, term);
}

static void host_fatal(void *host, const struct err *err)
{
	tell("  fatal: %s", err->text);
	holds(err->code == E_IO, "the node fails: %s", err->text);
	w.is_fatal = true;
}

static const struct node_host host = {
	.append = host_append, .load = host_load, .apply = host_apply,
	.checkpoint = host_checkpoint, .cut = host_cut, .refuse = host_refuse,
	.role = host_role, .fatal = host_fatal,
};

/* ---- what happens ---- */

static void log_step(void)
{
	struct wal *wal = node_core_wal(w.core);
	struct node_loaded loaded = { 0 };
	struct job job = w.jobs[0];
	struct err err;
	enum code rc;

	memmove(w.jobs, w.jobs + 1, --w.n_jobs * sizeof(*w.jobs));
	switch (job.type) {
	case JOB_APPEND:
		rc = wal_append(wal, job.append->entries, job.append->n, &err);
		node_core_written(w.core, w.now_ms, job.append->sequence, rc,
				  &err);
		break;
	case JOB_LOAD:
		rc = node_load(wal, job.from, job.to, &loaded, &err);
		node_core_loaded(w.core, w.now_ms, rc, &loaded, &err);
		node_loaded_fini(&loaded);
		break;
	case JOB_CUT:
		(void)!wal_cut(wal, job.from, &err);
		tell("  the log is cut up to %llu", (unsigned long long)job.from);
		break;
	}
}

/* What the log's thread does beside. */
static void tend_step(void)
{
	struct err err;
	bool did = true;

	for (uint64_t n = below(4); n > 0 && did; n--)
		if (wal_tend(node_core_wal(w.core), &did, &err))
			tell("  tending: %s", err.text);
}

static void apply_step(void)
{
	size_t n = w.n_batch;

	for (size_t i = 0; i < n && !broken; i++)
		apply_one(&w.batch[i]);
	w.batch = NULL;
	node_core_applied(w.core, w.now_ms, OK, NULL,
			  &(struct node_stand){ .bytes = toy_bytes(NULL) });
}

static void freeze_step(void)
{
	w.frozen = NEW(struct rc_frozen);
	w.frozen->at = w.toy;
	holds(w.checkpoint->index == w.toy.index, "a picture of %llu is taken at "
	      "%llu", (unsigned long long)w.checkpoint->index,
	      (unsigned long long)w.toy.index);
	w.freezing = (struct checkpoint){
		.cluster = w.checkpoint->cluster, .index = w.checkpoint->index,
		.term = w.checkpoint->term,
		.conf_index = w.checkpoint->conf_index,
	};
	buf_str(&w.freezing.conf, buf_view(&w.checkpoint->conf));
	w.checkpoint = NULL;
	node_core_frozen(w.core, w.now_ms, OK);
}

/* The whole file at once: the disk crashes inside all the same. */
static enum code write_checkpoint(uint64_t *kept, struct err *err)
{
	struct checkpoint_writer *writer;
	char filler[3000];
	struct fs *files = node_core_files(w.core);
	enum code rc = checkpoint_begin(files, "data/checkpoints", NULL, NULL,
					&writer, err);

	if (rc)
		return rc;
	memset(filler, 'f', sizeof(filler));
	rc = checkpoint_put(writer, &w.frozen->at, sizeof(w.frozen->at), err);
	for (uint64_t n = below(8); n > 0 && rc == OK; n--)
		rc = checkpoint_put(writer, filler, sizeof(filler), err);
	disk_rot_next(w.disk, below(8) == 0);
	if (rc == OK)
		rc = checkpoint_end(writer, &w.freezing, err);
	disk_rot_next(w.disk, false);
	checkpoint_writer_free(&writer);
	if (rc == OK)
		rc = checkpoint_prune(files, "data/checkpoints", 2, kept, err);
	checkpoint_clear(disk_fs(w.disk), "data/checkpoints", NULL, NULL);
	return rc;
}

static void checkpoint_step(void)
{
	uint64_t kept = 0;
	struct err err;
	enum code rc = write_checkpoint(&kept, &err);

	tell("  checkpoint at %llu: %s", (unsigned long long)w.freezing.index,
	     rc ? err.text : "ok");
	w.n_named += rc == OK;
	free(TAKE(w.frozen));
	checkpoint_fini(&w.freezing);
	node_core_checkpointed(w.core, w.now_ms, rc, kept);
}

static void ignore(struct rc_proposal *p, enum code rc, const struct err *err)
{
}

static void propose_step(void)
{
	struct rc_proposal *first = NULL, **last = &first;

	for (uint64_t n = 1 + below(8); n > 0 && w.n_items < ITEMS_MAX; n--) {
		struct item *item = &w.items[w.n_items++];
		size_t size = (size_t)below(below(4) ? 100 : 4000);

		wr_u64(&item->bytes, w.next_id);
		memset(buf_extend(&item->bytes, size), 'x', size);
		item->p = (struct rc_proposal){ .id = w.next_id++,
						.data = buf_view(&item->bytes),
						.done = ignore };
		*last = &item->p;
		last = &item->p.next_;
	}
	if (first)
		node_core_propose(w.core, w.now_ms, first);
}

static void time_step(void)
{
	w.now_ms += 1 + below(400);
	if (w.now_ms >= node_core_deadline(w.core))
		node_core_timeout(w.core, w.now_ms);
}

static void any_step(bool proposes)
{
	switch (below(8)) {
	case 0:
	case 1:
	case 2:
		if (w.n_jobs)
			log_step();
		tend_step();
		break;
	case 3:
	case 4:
		if (w.batch)
			apply_step();
		else if (w.checkpoint)
			freeze_step();
		break;
	case 5:
		if (w.frozen)
			checkpoint_step();
		break;
	case 6:
		if (proposes)
			propose_step();
		break;
	default:
		time_step();
	}
}

/* ---- lives ---- */

static bool has_ended(void)
{
	return broken || w.is_fatal || disk_is_down(w.disk);
}

static void watch_term(void)
{
	struct node_core_view view;

	node_core_view(w.core, &view);
	if (has_ended() || view.has_failed)
		return;
	holds(view.term >= w.term, "term %llu comes after %llu",
	      (unsigned long long)view.term, (unsigned long long)w.term);
	w.term = view.term;
}

/* Keys that open; and every other start also seals what is new. */
static const struct seal_provider *seal_provider(bool is_on)
{
	static struct keyring *rings[2];
	struct keyring **ring = &rings[is_on];

	if (!*ring) {
		must(keyring_parse(STR("one 000102030405060708090a0b0c0d0e0f1011121314"
				       "15161718191a1b1c1d1e1f"), "keys", ring,
				   NULL) == OK);
		keyring_set_on(*ring, is_on);
	}
	return keyring_provider(*ring);
}

/* False: the machine went down, or an error came, before it was open. */
static bool open_core(void)
{
	struct rc_config config;
	struct node_core_config core;
	struct err err = { 0 };
	enum code rc;

	rc_config_defaults(&config);
	config.dir = "data";
	config.segment_bytes = 8 * 4096;
	config.checkpoint_log_bytes = 6000;
	config.entry_bytes_max = 8192;
	config.inflight_entries_max = 8;
	config.seal = seal_provider(below(2));
	config.machine = (struct rc_machine){ .open = toy_open,
					      .freeze = toy_freeze,
					      .bytes = toy_bytes };
	core = (struct node_core_config){ .node = &config,
					  .tending = WAL_TEND_CALLER,
					  .fs = disk_fs(w.disk), .host = &host,
					  .seed = (unsigned)w.seed };
	rc = node_core_open(&core, &w.core, &err);
	if (rc == OK)
		return true;
	tell("  not opened: %s", err.text);
	holds(rc == E_IO, "a start is refused: %s", err.text);
	return false;
}

static void close_core(void)
{
	if (w.core)
		node_core_stop(w.core);
	node_core_free(&w.core);
	w.n_jobs = 0;
	w.batch = NULL;
	w.checkpoint = NULL;
	free(TAKE(w.frozen));
	checkpoint_fini(&w.freezing);
	for (size_t i = 0; i < w.n_items; i++)
		buf_fini(&w.items[i].bytes);
	w.n_items = 0;
	w.is_fatal = false;
}

static void crash(bool power)
{
	tell("  %s after %llu steps, %llu applied", power ? "power is lost" :
	     "the process is killed", (unsigned long long)disk_steps(w.disk),
	     (unsigned long long)w.toy.index);
	close_core();
	if (power)
		disk_power_loss(w.disk);
	else
		disk_kill(w.disk);
	w.toy_is_lost |= power || below(5) == 0;
	/* What was removed may come back, and does not count. */
	if (w.n_named && below(2) && damage_newest(w.disk, "data/checkpoints", 0,
				      below(sizeof(struct toy)))) {
		tell("  the newest checkpoint is damaged");
		w.n_named = 0;
		w.toy_is_lost = true;
	}
	/* Behind a kill the other copy may lack its name still, and power may go next. */
	if (power && damage_vote(w.disk, "data", (unsigned)below(2), below(36)))
		tell("  a copy of term and vote is damaged");
}

/* A life of at most 'steps' picks, until the machine goes down. */
static void live(unsigned steps)
{
	if (!open_core())
		return;
	node_core_start(w.core, w.now_ms);
	for (unsigned i = 0; i < steps && !has_ended(); i++) {
		watch_term();
		any_step(true);
	}
}

/* The last life, without faults: everything is there, and it goes on. */
static void live_well(void)
{
	struct node_core_view view = { 0 };
	uint64_t before = w.acked;

	disk_crash_at(w.disk, 0);
	disk_set_errors(w.disk, 0);
	if (!holds(open_core(), "the last start fails"))
		return;
	node_core_start(w.core, w.now_ms);
	for (unsigned i = 0; i < 200000 && !has_ended(); i++) {
		any_step(i < 200);
		watch_term();
		node_core_view(w.core, &view);
		if (i >= 200 && view.applied >= before &&
		    view.applied == view.commit && !w.n_jobs && !w.batch &&
		    w.toy.index == view.applied)
			break;
	}
	holds(!has_ended(), "the last life ends");
	holds(view.is_leader, "nobody leads");
	holds(w.toy.index >= before, "entries up to %llu were applied, %llu are "
	      "there", (unsigned long long)before,
	      (unsigned long long)w.toy.index);
	holds(w.toy.index > before, "nothing new is applied");
}

static void begin(uint64_t seed)
{
	disk_free(&w.disk);
	free(w.items);
	memset(&w, 0, sizeof(w));
	broken = false;
	w.seed = seed;
	w.items = mem_zero(ITEMS_MAX * sizeof(*w.items));
	w.disk = disk_new(seed);
	w.now_ms = 1000;
	w.next_id = 1;
	prng_init(&w.prng, seed);
}

static void end(void)
{
	close_core();
	checks++;
	failures += broken;
}

static void one_history(uint64_t seed)
{
	begin(seed);
	tell("seed %llu", (unsigned long long)seed);
	for (unsigned i = 0; i < LIVES && !broken; i++) {
		if (below(5))
			disk_crash_at(w.disk, disk_steps(w.disk) + 1 +
				      below(below(2) ? 20 : 150));
		disk_set_errors(w.disk, below(4) ? 0 : 3000);
		live(600);
		crash(below(3) != 0);
	}
	if (!broken)
		live_well();
	end();
}

/* The same short run, crashed at its every step. */
static void each_step(uint64_t seed)
{
	uint64_t steps;

	begin(seed);
	live(400);
	steps = disk_steps(w.disk);
	end();
	for (uint64_t at = 1; at <= steps && !broken; at++) {
		begin(seed);
		disk_crash_at(w.disk, at);
		live(400);
		crash(true);
		if (!broken)
			live_well();
		end();
	}
	tell("%llu steps", (unsigned long long)steps);
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t n;

	return text && str_u64(str_of(text), &n) ? n : otherwise;
}

int main(void)
{
	uint64_t only = from_env("SEED", 0);
	uint64_t seeds = from_env("SEEDS", 120);

	verbose = from_env("VERBOSE", 0);
	log_setup(LOG_ERROR, LOG_HUMAN);
	if (only) {
		one_history(only);
	} else {
		each_step(1000001);
		for (uint64_t seed = 1; seed <= seeds; seed++)
			one_history(seed);
	}
	disk_free(&w.disk);
	free(w.items);
	printf("%llu passed, %llu failed\n", checks - failures, failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
