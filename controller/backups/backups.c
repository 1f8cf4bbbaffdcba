/* Life of the backups of a node, and streams: see backups.h. */
#include "base/log.h"
#include "base/mem.h"
#include "backups/own.h"

#include "base/banned.h"

/* ---- life ---- */

static enum code load_key(const struct backups_config *c,
			  struct seal_public **out, struct err *err)
{
	enum code rc;

	*out = NULL;
	if (!c->recipient || !c->recipient[0])
		return OK;
	rc = seal_public_load(c->recipient, out, err);
	return rc ? err_wrap(err, "backup.recipient") : OK;
}

enum code backups_check(const struct backups_config *config, struct err *err)
{
	struct seal_public *key;
	enum code rc = load_key(config, &key, err);

	seal_public_free(&key);
	return rc;
}

enum code backups_new(const struct backups_config *config, struct backups **out,
		      struct err *err)
{
	struct backups *b = NEW(struct backups);
	enum code rc = load_key(config, &b->recipient, err);

	/* A stream is read while a file is written. */
	if (rc == OK)
		rc = pool_try_new("backup", 2, 8, &b->pool, err);
	if (rc) {
		seal_public_free(&b->recipient);
		free(b);
		return rc;
	}
	b->config = *config;
	b->config.keep = MAX(config->keep, 1u);
	pthread_mutex_init(&b->lock, NULL);
	if (config->dir && config->dir[0])
		schedule_start(b);
	*out = b;
	return OK;
}

bool backups_submit(struct backups *b, struct work *work)
{
	bool taken;

	pthread_mutex_lock(&b->lock);
	taken = !atomic_load(&b->is_stopping) && pool_submit(b->pool, work);
	pthread_mutex_unlock(&b->lock);
	return taken;
}

void backups_stop(struct backups *b)
{
	pthread_mutex_lock(&b->lock);
	atomic_store(&b->is_stopping, true);
	pthread_mutex_unlock(&b->lock);
	schedule_stop(b);
	pool_free(&b->pool);
}

void backups_free(struct backups **bp)
{
	struct backups *b = TAKE(*bp);

	if (!b)
		return;
	rc_picture_free(&b->picture);
	seal_public_free(&b->recipient);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

void backups_view(struct backups *b, struct backups_view *out)
{
	pthread_mutex_lock(&b->lock);
	*out = b->view;
	pthread_mutex_unlock(&b->lock);
}

void backups_metrics(struct backups *b, struct buf *out)
{
	struct backups_view v;

	backups_view(b, &v);
#define PUT(name, type, help, value)                                       \
	buf_printf(out, "# HELP conflux_backup_" name " " help "\n"         \
			"# TYPE conflux_backup_" name " " type "\n"          \
			"conflux_backup_" name " %llu\n",                    \
		   (unsigned long long)(value))
	PUT("scheduled", "gauge", "1 where backup.dir is set.", v.is_on);
	PUT("total", "counter", "Scheduled backups that were made.", v.done);
	PUT("failed_total", "counter", "Scheduled backups that failed.", v.failed);
	PUT("last_success_timestamp_seconds", "gauge",
	    "When the newest backup was made; 0: none is known.",
	    v.last_ms / 1000);
	PUT("last_bytes", "gauge", "Bytes of the last one.", v.last_bytes);
	PUT("last_milliseconds", "gauge", "The last one took.", v.last_took_ms);
	PUT("failing", "gauge", "1 while the last try failed.", v.failed_ms > 0);
	PUT("streams_total", "counter", "Backups that were read by clients.",
	    v.streams);
#undef PUT
}

const struct backups_config *backups_config(const struct backups *b)
{
	return &b->config;
}

/* ---- streams ---- */

/*
 * One thing is under way at a time: the question for a picture, or a worker that
 * reads.  Whoever ends it last frees the stream: 'lock' is about whether that is
 * its owner or what is under way.
 */
struct backup_stream {
	struct backups *b;
	struct loop *home;
	void (*told)(void *data, enum code rc, struct str bytes, bool more,
		     const struct err *err);
	void *data;
	struct rc_backup backup;
	struct rc_picture *picture;
	struct work work;
	struct msg msg;
	pthread_mutex_t lock;
	bool is_out, is_closed;
	bool is_the_one;                 /* has b->has_stream */
	struct buf bytes;
	bool more;
	enum code rc;
	struct err err;
};

static void stream_free(struct backup_stream *s)
{
	if (s->is_the_one)
		atomic_store(&s->b->has_stream, false);
	rc_picture_free(&s->picture);
	pthread_mutex_destroy(&s->lock);
	buf_fini(&s->bytes);
	free(s);
}

/* What was under way has ended; true: the stream is still there. */
static bool came_home(struct backup_stream *s)
{
	bool is_closed;

	pthread_mutex_lock(&s->lock);
	s->is_out = false;
	is_closed = s->is_closed;
	pthread_mutex_unlock(&s->lock);
	if (is_closed)
		stream_free(s);
	return !is_closed;
}

static void tell_here(struct msg *msg)
{
	struct backup_stream *s = container_of(msg, struct backup_stream, msg);

	if (!came_home(s))
		return;
	if (s->rc == OK && !s->more) {
		pthread_mutex_lock(&s->b->lock);
		s->b->view.streams++;
		pthread_mutex_unlock(&s->b->lock);
	}
	s->told(s->data, s->rc, buf_view(&s->bytes), s->rc == OK && s->more,
		&s->err);
}

static void read_run(struct work *work)
{
	struct backup_stream *s = container_of(work, struct backup_stream, work);

	buf_reset(&s->bytes);
	s->rc = rc_picture_read(s->picture, &s->bytes, &s->more, &s->err);
}

static void read_done(struct work *work)
{
	tell_here(&container_of(work, struct backup_stream, work)->msg);
}

static void tell(struct backup_stream *s, enum code rc)
{
	s->rc = rc;
	s->msg.run = tell_here;
	loop_post_sure(s->home, &s->msg);
}

static void read_next(struct backup_stream *s)
{
	s->work = (struct work){ .home = s->home, .run = read_run,
				 .done = read_done };
	if (!backups_submit(s->b, &s->work))
		tell(s, err_set(&s->err, E_UNAVAILABLE, "the node is stopping"));
}

static void stream_about(struct rc_backup *backup, struct buf *out)
{
	struct backup_stream *s = container_of(backup, struct backup_stream,
					       backup);

	backup_about(out, s->b->config.version, store_rev(s->b->config.store));
}

/* Core loop.  The loop of the stream may be gone by now, but not while the stream
 * is open. */
static void stream_taken(struct rc_backup *backup, enum code rc,
			 struct rc_picture *picture, const struct err *err)
{
	struct backup_stream *s = container_of(backup, struct backup_stream,
					       backup);
	bool is_closed;

	s->picture = picture;
	s->rc = rc;
	if (rc)
		err_copy(&s->err, err);
	pthread_mutex_lock(&s->lock);
	is_closed = s->is_closed;
	if (!is_closed && rc)
		tell(s, rc);
	else if (!is_closed)
		read_next(s);
	pthread_mutex_unlock(&s->lock);
	if (is_closed)
		stream_free(s);
}

struct backup_stream *backup_stream_new(struct backups *b, struct loop *home,
		void (*told)(void *data, enum code rc, struct str bytes,
			     bool more, const struct err *err), void *data)
{
	struct backup_stream *s = NEW(struct backup_stream);

	s->b = b;
	s->home = home;
	s->told = told;
	s->data = data;
	pthread_mutex_init(&s->lock, NULL);
	s->is_the_one = !atomic_exchange(&b->has_stream, true);
	return s;
}

void backup_stream_next(struct backup_stream *s)
{
	must(!s->is_out && !s->is_closed);
	s->is_out = true;
	if (!s->is_the_one) {
		err_set(&s->err, E_BUSY, "another backup is being read from this "
			"node");
		err_hint(&s->err, "ask again when it has ended, or ask another "
				  "node");
		tell(s, E_BUSY);
	} else if (s->picture) {
		read_next(s);
	} else {
		s->backup = (struct rc_backup){ READ_MS, stream_about,
						stream_taken };
		if (!store_backup(s->b->config.store, &s->backup))
			tell(s, err_set(&s->err, E_UNAVAILABLE,
					"the node is stopping"));
	}
}

void backup_stream_close(struct backup_stream **sp)
{
	struct backup_stream *s = TAKE(*sp);
	bool is_out;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->is_closed = true;
	is_out = s->is_out;
	pthread_mutex_unlock(&s->lock);
	if (!is_out)
		stream_free(s);
}
