/*
 * cluster log: what the log of a data directory holds, for people and scripts.
 * Nothing is changed; damage is named, and what can be read behind it is shown.
 */
#include "cli/cli.h"

#include <stdio.h>

#include "raftcore/inspect.h"
#include "seal/keyring.h"
#include "state/words.h"

#include "base/banned.h"

#define MEMBERS_MAX 64
#define LINE_MAX_BYTES 400       /* of a table; wide shows all */
#define FLUSH_BYTES (256u * 1024)
#define ULL(x) ((unsigned long long)(x))

struct printing {
	struct cli *cli;
	uint64_t first, last;            /* what is shown of the entries */
	bool is_json;
	struct buf out;
	struct words words;
	struct words_reader *commands;
	/* Shown when the first thing in it is. */
	struct buf segment, record;
	struct wal_seen_record at;       /* without its path */
	struct buf path;
};

/* ---- output ---- */

static enum code flush(struct printing *p, size_t at_least, struct err *err)
{
	enum code rc = OK;

	if (p->out.n > at_least)
		rc = out_write(buf_view(&p->out), err);
	if (p->out.n > at_least)
		buf_reset(&p->out);
	return rc;
}

/* Text of a table's line, cut where it is too long. */
static void put_line(struct printing *p, struct str text)
{
	size_t n = MIN(text.n, (size_t)LINE_MAX_BYTES);

	if (p->cli->output == OUT_WIDE || text.n <= n) {
		buf_str(&p->out, text);
	} else {
		/* Not within a character. */
		while (n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
			n--;
		buf_str(&p->out, str_first(text, n));
		buf_z(&p->out, "...");
	}
	buf_c(&p->out, '\n');
}

static void json_str(struct buf *out, const char *name, struct str text)
{
	buf_printf(out, ",\"%s\":", name);
	buf_json(out, text);
}

static void json_u64(struct buf *out, const char *name, uint64_t n)
{
	buf_printf(out, ",\"%s\":%llu", name, ULL(n));
}

/* Segment and record stand before what is in them. */
static void put_heads(struct printing *p)
{
	buf_str(&p->out, buf_view(&p->segment));
	buf_str(&p->out, buf_view(&p->record));
	buf_reset(&p->segment);
	buf_reset(&p->record);
}

/* ---- segments and records ---- */

static void segment_json(struct buf *out, const struct wal_seen_segment *s)
{
	buf_z(out, "{\"type\":\"segment\"");
	json_str(out, "file", str_of(s->path));
	json_u64(out, "segment", s->id);
	if (s->first_sequence)
		json_u64(out, "first_sequence", s->first_sequence);
	buf_printf(out, ",\"is_sealed\":%s", s->is_sealed ? "true" : "false");
	if (s->key_name[0])
		json_str(out, "key", str_of(s->key_name));
	if (s->closed)
		json_str(out, "closed", str_of(s->closed->text));
	buf_z(out, "}\n");
}

static void segment_text(struct buf *out, const struct wal_seen_segment *s)
{
	words_plain(out, str_of(s->path));
	if (s->first_sequence)
		buf_printf(out, ": from record %llu on", ULL(s->first_sequence));
	else
		buf_z(out, ": records by their stamps");
	if (s->is_sealed)
		buf_z(out, s->closed ? ", encrypted, and closed: " :
				       ", encrypted with the key ");
	if (s->is_sealed)
		words_plain(out, str_of(s->closed ? s->closed->text :
						    s->key_name));
	buf_c(out, '\n');
}

static enum code on_segment(void *data, const struct wal_seen_segment *s,
			    struct err *err)
{
	struct printing *p = data;

	buf_reset(&p->segment);
	buf_reset(&p->record);
	buf_reset(&p->path);
	buf_z(&p->path, s->path);
	(p->is_json ? segment_json : segment_text)(&p->segment, s);
	/* Without a range all is shown, also what is empty. */
	if (p->first == 0 && p->last == UINT64_MAX)
		put_heads(p);
	return flush(p, FLUSH_BYTES, err);
}

static void put_place(struct printing *p, struct buf *out, uint64_t offset)
{
	json_str(out, "file", buf_view(&p->path));
	json_u64(out, "offset", offset);
}

static void record_json(struct printing *p, struct buf *out)
{
	const struct wal_seen_record *r = &p->at;

	buf_z(out, "{\"type\":\"record\"");
	put_place(p, out, r->offset);
	json_u64(out, "sequence", r->sequence);
	json_u64(out, "first_index", r->first_index);
	json_u64(out, "entries", r->count);
	json_u64(out, "bytes", r->bytes);
	json_u64(out, "blocks", r->blocks);
	if (r->replaces)
		json_u64(out, "replaces_to", r->replaces);
	buf_printf(out, ",\"is_closed\":%s}\n", r->is_closed ? "true" : "false");
}

static void record_text(struct printing *p, struct buf *out)
{
	const struct wal_seen_record *r = &p->at;

	buf_printf(out, "  at %llu: record %llu, ", ULL(r->offset),
		   ULL(r->sequence));
	if (r->count == 1)
		buf_printf(out, "entry %llu", ULL(r->first_index));
	else
		buf_printf(out, "entries %llu to %llu", ULL(r->first_index),
			   ULL(r->first_index + r->count - 1));
	buf_printf(out, ", %llu bytes in %u block%s", ULL(r->bytes), r->blocks,
		   r->blocks == 1 ? "" : "s");
	if (r->replaces)
		buf_printf(out, "; replaces entries %llu to %llu",
			   ULL(r->first_index), ULL(r->replaces));
	buf_z(out, r->is_closed ? "; closed\n" : "\n");
}

static enum code on_record(void *data, const struct wal_seen_record *r,
			   struct err *err)
{
	struct printing *p = data;

	p->at = *r;
	p->at.path = NULL;
	buf_reset(&p->record);
	(p->is_json ? record_json : record_text)(p, &p->record);
	if (r->first_index <= p->last &&
	    r->first_index + r->count - 1 >= p->first)
		put_heads(p);
	return flush(p, FLUSH_BYTES, err);
}

/* ---- entries ---- */

static void members_of(struct printing *p, const struct wal_entry *e)
{
	struct rc_log_member m[MEMBERS_MAX];
	size_t n = rc_log_members(e, m, MEMBERS_MAX);
	struct words *w = &p->words;

	if (!n) {
		buf_z(&w->text, "a membership that cannot be read");
		json_str(&w->json, "error", buf_view(&w->text));
		return;
	}
	buf_z(&w->json, ",\"members\":[");
	for (size_t i = 0; i < MIN(n, (size_t)MEMBERS_MAX); i++) {
		buf_printf(&w->text, "%s%llu=", i ? " " : "", ULL(m[i].id));
		words_plain(&w->text, str_of(m[i].address));
		buf_z(&w->text, m[i].votes ? " (voter)" : " (learner)");
		buf_printf(&w->json, "%s{\"id\":%llu", i ? "," : "",
			   ULL(m[i].id));
		json_str(&w->json, "role",
			 m[i].votes ? STR("voter") : STR("learner"));
		json_str(&w->json, "address", str_of(m[i].address));
		buf_c(&w->json, '}');
	}
	buf_c(&w->json, ']');
}

static void put_operation(struct printing *p, size_t i)
{
	if (!p->is_json) {
		buf_z(&p->out, "               ");
		put_line(p, buf_view(&p->words.text));
		return;
	}
	buf_z(&p->out, i ? ",{" : ",\"operations\":[{");
	buf_str(&p->out, buf_view(&p->words.json));
	buf_c(&p->out, '}');
}

/* Of the command that was read last; there may be very many. */
static enum code put_operations(struct printing *p, struct err *err)
{
	struct err why = { 0 };
	size_t n = 0;
	enum code rc = OK, next;

	for (;; n++) {
		words_reset(&p->words);
		next = words_operation(p->commands, &p->words, &why);
		if (next || rc)
			break;
		put_operation(p, n);
		rc = flush(p, FLUSH_BYTES, err);
	}
	if (p->is_json && n)
		buf_c(&p->out, ']');
	if (next == E_NOT_FOUND)
		return rc;
	/* The others of its node stop there too. */
	if (p->is_json) {
		json_str(&p->out, "error", str_of(why.text));
	} else {
		buf_z(&p->out, "               cannot be read: ");
		words_plain(&p->out, str_of(why.text));
		buf_c(&p->out, '\n');
	}
	return rc;
}

/* False: it cannot be taken apart; 'words' says why. */
static bool command_of(struct printing *p, const struct wal_entry *e)
{
	struct words *w = &p->words;
	struct err why = { 0 };
	struct str command;
	uint64_t id;

	if (!rc_log_command(e, &id, &command))
		(void)!err_set(&why, E_INVALID, "the entry is too short");
	else if (words_command(p->commands, command, w, &why) == OK)
		return true;
	words_reset(w);
	buf_z(&w->text, "cannot be read: ");
	words_plain(&w->text, str_of(why.text));
	buf_z(&w->json, "\"error\":");
	buf_json(&w->json, str_of(why.text));
	return false;
}

static void entry_head(struct printing *p, const struct wal_entry *e)
{
	const char *type = rc_log_type_name(e->type);
	AUTO_BUF number = BUF_NONE;

	if (!type) {
		buf_printf(&number, "type %u", e->type);
		type = number.p;
	}
	if (!p->is_json) {
		buf_printf(&p->out, "    %9llu  term %llu  %s", ULL(e->index),
			   ULL(e->term), type);
		return;
	}
	buf_z(&p->out, "{\"type\":\"entry\"");
	put_place(p, &p->out, p->at.offset);
	json_u64(&p->out, "sequence", p->at.sequence);
	json_u64(&p->out, "index", e->index);
	json_u64(&p->out, "term", e->term);
	json_str(&p->out, "kind", str_of(type));
	json_u64(&p->out, "bytes", e->data.n);
}

static enum code put_entry(struct printing *p, const struct wal_entry *e,
			   bool has_operations, struct err *err)
{
	struct words *w = &p->words;
	enum code rc = OK;

	entry_head(p, e);
	if (p->is_json) {
		if (w->json.n && w->json.p[0] != ',')
			buf_c(&p->out, ',');
		buf_str(&p->out, buf_view(&w->json));
	} else {
		buf_z(&p->out, w->text.n ? "  " : "");
		put_line(p, buf_view(&w->text));
	}
	if (has_operations)
		rc = put_operations(p, err);
	if (p->is_json)
		buf_z(&p->out, "}\n");
	return rc ? rc : flush(p, FLUSH_BYTES, err);
}

static enum code on_entry(void *data, const struct wal_entry *e, struct err *err)
{
	struct printing *p = data;
	bool is_shown = e->index >= p->first && e->index <= p->last;
	bool has_operations = false;

	words_reset(&p->words);
	/* Also where it is not shown: a later one may name its parts. */
	if (e->type == RC_LOG_COMMAND)
		has_operations = command_of(p, e);
	else if (e->type == RC_LOG_MEMBERSHIP)
		members_of(p, e);
	return is_shown ? put_entry(p, e, has_operations, err) : OK;
}

/* ---- what is wrong ---- */

static enum code on_torn(void *data, const char *path, uint64_t offset,
			 struct err *err)
{
	struct printing *p = data;

	buf_reset(&p->record);
	put_heads(p);
	if (p->is_json) {
		buf_z(&p->out, "{\"type\":\"torn\"");
		put_place(p, &p->out, offset);
		buf_z(&p->out, "}\n");
	} else {
		buf_printf(&p->out, "  at %llu: torn: a record that was not written "
			   "whole, or is being written; nobody was told of it\n",
			   ULL(offset));
	}
	return flush(p, FLUSH_BYTES, err);
}

static enum code on_damage(void *data, const struct err *why, struct err *err)
{
	struct printing *p = data;

	if (p->is_json) {
		buf_z(&p->out, "{\"type\":\"damage\"");
		json_str(&p->out, "error", str_of(why->text));
		buf_z(&p->out, "}\n");
	} else {
		buf_z(&p->out, "  DAMAGE: ");
		words_plain(&p->out, str_of(why->text));
		buf_c(&p->out, '\n');
	}
	return flush(p, FLUSH_BYTES, err);
}

/* ---- the whole ---- */

static void count(struct buf *out, uint64_t n, const char *what)
{
	buf_printf(out, "%s%llu %s%s", out->n ? ", " : "", ULL(n), what,
		   n == 1 ? "" : "s");
}

static void summary_text(struct buf *out, const struct wal_inspected *sum)
{
	AUTO_BUF line = BUF_NONE;

	count(&line, sum->segments, "segment");
	count(&line, sum->records, "record");
	if (sum->last_index)
		buf_printf(&line, ", entries %llu to %llu", ULL(sum->first_index),
			   ULL(sum->last_index));
	else
		buf_z(&line, ", no entries");
	if (sum->torn)
		count(&line, sum->torn, "torn end");
	if (sum->closed_segments)
		count(&line, sum->closed_segments, "closed segment");
	if (sum->damaged)
		count(&line, sum->damaged, "damage");
	else
		buf_z(&line, ", no damage");
	buf_str(out, buf_view(&line));
	buf_c(out, '\n');
}

static void summary_json(struct buf *out, const struct wal_inspected *sum)
{
	buf_z(out, "{\"type\":\"summary\"");
	json_u64(out, "segments", sum->segments);
	json_u64(out, "records", sum->records);
	json_u64(out, "entries", sum->entries);
	json_u64(out, "first_index", sum->first_index);
	json_u64(out, "last_index", sum->last_index);
	json_u64(out, "torn", sum->torn);
	json_u64(out, "closed_segments", sum->closed_segments);
	json_u64(out, "damaged", sum->damaged);
	buf_z(out, "}\n");
}

/* What was shown was all that there is to show; now what the exit code says. */
static enum code verdict(const struct wal_inspected *sum, const char *dir,
			 bool has_keys, struct err *err)
{
	if (sum->damaged) {
		err_set(err, E_CORRUPT, "the log of %s is damaged in %llu place%s",
			dir, ULL(sum->damaged), sum->damaged == 1 ? "" : "s");
		return err_hint(err, "a node does not start on it; docs/recovery.md "
				     "says what can be done");
	}
	if (!sum->closed_segments)
		return OK;
	err_set(err, E_DENIED, "%llu segment%s encrypted, and not open: %s",
		ULL(sum->closed_segments),
		sum->closed_segments == 1 ? " is" : "s are",
		has_keys ? "their keys are not in the key file" :
			   "no key file was named");
	return err_hint(err, "--encryption-key-file names the file that "
			     "storage.encryption_key_file of the node does");
}

static enum code print_log(struct printing *p, const char *dir,
			   const struct seal_provider *seal, struct err *err)
{
	struct wal_visitor v = { on_segment, on_record, on_entry, on_torn,
				 on_damage, p };
	struct wal_inspected sum;
	enum code rc = rc_log_inspect(dir, seal, &v, &sum, err);

	if (rc == OK)
		(p->is_json ? summary_json : summary_text)(&p->out, &sum);
	if (rc == OK)
		rc = flush(p, 0, err);
	else
		(void)!flush(p, 0, NULL);
	return rc ? rc : verdict(&sum, dir, seal, err);
}

static enum code check_usage(struct cli *cli, struct printing *p, struct err *err)
{
	enum code rc;

	if (!cli_text(cli, FLAG_DATA_DIR) || cli->n_args != 1) {
		err_set(err, E_USAGE, "cluster log: --data-dir is missing");
		return err_hint(err, "conflux cluster log --data-dir DIR "
				     "[--first-index N] [--last-index N] [-o json]");
	}
	if (cli->output == OUT_YAML || cli->output == OUT_NAME)
		return err_set(err, E_USAGE, "cluster log: -o is one of table, "
			       "wide, json");
	rc = cli_u64(cli, FLAG_FIRST_INDEX, &p->first, err);
	if (rc == OK)
		rc = cli_u64(cli, FLAG_LAST_INDEX, &p->last, err);
	if (rc == OK && p->first > p->last)
		rc = err_set(err, E_USAGE, "--first-index %llu is behind "
			     "--last-index %llu", ULL(p->first), ULL(p->last));
	return rc;
}

enum code cli_cluster_log(struct cli *cli, struct err *err)
{
	const char *keys = cli_text(cli, FLAG_ENCRYPTION_KEY);
	struct printing p = { .cli = cli, .last = UINT64_MAX,
			      .is_json = cli->output == OUT_JSON };
	struct keyring *k = NULL;
	enum code rc = check_usage(cli, &p, err);

	if (rc == OK && keys)
		rc = keyring_load(keys, &k, err);
	if (rc)
		return rc;
	p.commands = words_new();
	rc = print_log(&p, cli_text(cli, FLAG_DATA_DIR),
		       k ? keyring_provider(k) : NULL, err);
	words_free(&p.commands);
	words_fini(&p.words);
	buf_fini(&p.out);
	buf_fini(&p.segment);
	buf_fini(&p.record);
	buf_fini(&p.path);
	keyring_free(&k);
	return rc;
}
