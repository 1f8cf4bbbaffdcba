/*
 * /_cluster/backup: a backup of the cluster from this node as a stream
 * (docs/formats/backup.md), and how the scheduled ones stand; /_cluster/restore.
 *
 * A worker reads the next MiB when the one before has left for the most part, so
 * a slow client costs no memory, and one that goes away leaves nothing behind.
 * An error behind the first byte cannot be told by a status: then the stream
 * ends without its end, which whoever reads it finds.
 */
#include "api/own.h"

#include "base/log.h"
#include "base/mem.h"
#include "backups/backups.h"

#include "base/banned.h"

#define PENDING_MAX (256u * 1024)

/* request.data while it is under way. */
struct sending {
	struct caller caller;
	struct backup_stream *stream;
	bool has_begun, wants;           /* wants: bytes, when there is room */
	uint64_t bytes;
};

static struct sending *sending_of(struct request *r)
{
	return (struct sending *)r->data;
}

static void gone(struct request *r)
{
	struct sending *s = sending_of(r);

	log_warn("api", LOG_KV(log_u("bytes", s->bytes)),
		 "a backup was not read to its end");
	backup_stream_close(&s->stream);
}

static void go_on(struct request *r)
{
	struct sending *s = sending_of(r);

	if (!s->wants || answer_pending(r) > PENDING_MAX)
		return;
	s->wants = false;
	backup_stream_next(s->stream);
}

static void begin(struct request *r)
{
	struct sending *s = sending_of(r);

	s->has_begun = true;
	answer_header(r, "Cache-Control", STR("no-store"));
	answer_header(r, "Content-Disposition",
		      STR("attachment; filename=\"conflux.backup\""));
	answer_stream(r, 200, "application/vnd.conflux.backup");
	answer_on_drain(r, go_on);
}

static void failed(struct request *r, const struct err *err)
{
	struct sending *s = sending_of(r);

	r->on_gone = NULL;
	backup_stream_close(&s->stream);
	if (!s->has_begun) {
		api_error(r, err);
		return;
	}
	log_error("api", LOG_KV(log_z("error", err->text)),
		  "a backup ends before its end");
	answer_end(r);
}

static void told(void *data, enum code rc, struct str bytes, bool more,
		 const struct err *err)
{
	struct request *r = data;
	struct sending *s = sending_of(r);

	if (rc) {
		failed(r, err);
		return;
	}
	if (!s->has_begun)
		begin(r);
	s->bytes += bytes.n;
	answer_chunk(r, bytes);
	if (more) {
		s->wants = true;
		go_on(r);
		return;
	}
	r->on_gone = NULL;
	backup_stream_close(&s->stream);
	answer_end(r);
}

void post_cluster_backup(struct request *r)
{
	struct sending *s = ANEW(r->arena, struct sending);
	const struct caller *c = caller_of(r);
	struct backups *backups = c->at->api->config.backups;

	if (!backups) {
		api_fail(r, E_UNSUPPORTED, "this node gives no backups");
		return;
	}
	log_info("api", LOG_KV(log_s("subject", c->subject.name),
			       log_s("credential", c->credential),
			       log_z("from", r->peer->text)),
		 "a backup is asked for");
	s->caller = *c;
	s->stream = backup_stream_new(backups, r->loop, told, r);
	r->data = &s->caller;
	r->on_gone = gone;
	backup_stream_next(s->stream);
}

/* ---- how they stand ---- */

void get_cluster_backup(struct request *r)
{
	struct backups *backups = caller_of(r)->at->api->config.backups;
	const struct backups_config *c;
	AUTO_BUF out = BUF_NONE;
	struct backups_view v;

	if (!backups) {
		api_fail(r, E_UNSUPPORTED, "this node gives no backups");
		return;
	}
	backups_view(backups, &v);
	c = backups_config(backups);
	buf_printf(&out, "{\"scheduled\":%s,\"node_id\":%llu,\"folder\":",
		   v.is_on ? "true" : "false", (unsigned long long)c->node_id);
	buf_json(&out, str_of(c->dir));
	buf_printf(&out, ",\"interval_ms\":%llu,\"keep\":%u,\"on\":\"%s\","
		   "\"sealed\":%s,\"running\":%s,\"made\":%llu,\"failed\":%llu,"
		   "\"last_ms\":%llu,\"last_bytes\":%llu,\"last_file\":",
		   (unsigned long long)c->interval_ms, c->keep,
		   c->on_each ? "each" : "leader",
		   c->recipient && c->recipient[0] ? "true" : "false",
		   v.is_running ? "true" : "false", (unsigned long long)v.done,
		   (unsigned long long)v.failed, (unsigned long long)v.last_ms,
		   (unsigned long long)v.last_bytes);
	buf_json(&out, str_of(v.last_file));
	buf_printf(&out, ",\"failed_ms\":%llu,\"error\":",
		   (unsigned long long)v.failed_ms);
	buf_json(&out, str_of(v.error));
	buf_c(&out, '}');
	answer(r, 200, "application/json", buf_view(&out));
}

/* ---- restoring ---- */

/* Outlives a connection that ends before it is done. */
struct restoring {
	struct api_restore ask;
	struct request *r;               /* NULL: the connection ended */
	struct loop *loop;
	struct msg msg;
	char file[256];
	enum code rc;
	struct err err;
};

/* request.data while it is under way. */
struct waiting {
	struct caller caller;
	struct restoring *v;
};

static void restore_gone(struct request *r)
{
	((struct waiting *)r->data)->v->r = NULL;
}

static void restored_here(struct msg *msg)
{
	struct restoring *v = container_of(msg, struct restoring, msg);
	struct request *r = v->r;
	AUTO_BUF out = BUF_NONE;

	if (r) {
		r->on_gone = NULL;
		buf_printf(&out, "{\"cluster_id\":\"%s\",\"revision\":%llu,"
			   "\"restarts\":true}", v->ask.cluster,
			   (unsigned long long)v->ask.rev);
		if (v->rc)
			api_error(r, &v->err);
		else
			answer(r, 200, "application/json", buf_view(&out));
	}
	free(v);
}

static void restored(struct api_restore *ask, enum code rc,
		     const struct err *err)
{
	struct restoring *v = container_of(ask, struct restoring, ask);

	v->rc = rc;
	if (rc)
		err_copy(&v->err, err);
	v->msg.run = restored_here;
	loop_post_sure(v->loop, &v->msg);
}

void post_cluster_restore(struct request *r)
{
	static const struct body_member members[] = {
		{ "file", VALUE_STRING, true },
	};
	const struct api_config *config = &caller_of(r)->at->api->config;
	struct waiting *w;
	struct value *body;
	struct restoring *v;

	if (!API_BODY_OF(r, members, &body))
		return;
	if (!config->restore) {
		api_fail(r, E_UNSUPPORTED, "nothing is restored here");
		return;
	}
	v = NEW(struct restoring);
	if (!str_copy(v->file, sizeof(v->file), value_text_at(body, "file"))) {
		free(v);
		api_fail(r, E_INVALID, "the name of the file is too long");
		return;
	}
	v->ask = (struct api_restore){ .file = str_of(v->file),
				       .done = restored };
	v->loop = r->loop;
	v->r = r;
	w = ANEW(r->arena, struct waiting);
	w->caller = *caller_of(r);
	w->v = v;
	r->data = &w->caller;
	r->on_gone = restore_gone;
	config->restore(config->data, &v->ask);
}
