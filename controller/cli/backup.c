/*
 * cluster backup, cluster restore: a backup over the network into a file, which
 * is checked as it comes; looking at one; and the data directory of a new cluster
 * from one, where no daemon runs.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "backup/backup.h"
#include "io/file.h"
#include "restore/restore.h"
#include "seal/keyring.h"

#include "base/banned.h"

/* The checkpoint that a backup is made of takes its time. */
#define HEAD_MS (3600u * 1000)

/* ---- into a file ---- */

struct receiving {
	struct backup_reader *reader;
	struct seal_public *recipient;   /* NULL: not sealed */
	struct seal_out *seal;
	struct file *file;               /* NULL: standard output */
	uint64_t at;
};

static enum code put(void *data, const void *p, size_t n, struct err *err)
{
	struct receiving *v = data;
	struct fs *fs = fs_real();
	enum code rc = OK;

	if (v->file)
		rc = fs->ops->write(fs, v->file, v->at, p, n, err);
	else
		rc = out_raw(str_n(p, n), err);
	v->at += n;
	return rc;
}

static enum code take(void *data, struct str bytes, struct err *err)
{
	struct receiving *v = data;
	enum code rc = backup_feed(v->reader, bytes, err);

	if (rc)
		return rc;
	return v->seal ? seal_out_put(v->seal, bytes.p, bytes.n, err) :
			 put(v, bytes.p, bytes.n, err);
}

static enum code receive(struct cli *cli, struct receiving *v, struct err *err)
{
	struct client_request request = { .method = HTTP_M_POST,
					  .target = STR("/_cluster/backup"),
					  .body = STR("{}") };
	unsigned head_ms = HEAD_MS;
	enum code rc = cli_client(cli, err);

	if (rc == OK)
		rc = cli_ms(cli, FLAG_TIMEOUT, &head_ms, err);
	if (rc == OK && v->recipient)
		rc = seal_out_new(NULL, v->recipient, BACKUP_CONTEXT, put, v,
				  &v->seal, err);
	if (rc == OK)
		rc = client_download(cli->client, &request, head_ms, take, v,
				     err);
	cli_progress_clear(cli);
	if (rc == E_UNAUTHORIZED)
		err_hint(err, "--token-file names a file with a token, or "
			 "CONFLUX_TOKEN holds one");
	if (rc)
		return rc;
	rc = backup_finish(v->reader, err);
	if (rc)
		return err_wrap(err, "what the server sent");
	return v->seal ? seal_out_end(v->seal, err) : OK;
}

static struct str folder_of(struct cli *cli, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return STR(".");
	if (slash == path)
		return STR("/");
	return arena_str(cli->arena, str_n(path, (size_t)(slash - path)));
}

/* Under another name until it is whole and on disk. */
static enum code receive_file(struct cli *cli, struct receiving *v,
			      const char *path, struct err *err)
{
	struct fs *fs = fs_real();
	AUTO_BUF part = BUF_NONE;
	AUTO_BUF dir = BUF_NONE;
	enum code rc;

	buf_printf(&part, "%s.part", path);
	buf_str(&dir, folder_of(cli, path));
	(void)fs->ops->remove(fs, part.p, NULL);
	rc = fs->ops->open(fs, part.p, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE,
			   &v->file, err);
	if (rc)
		return rc;
	rc = receive(cli, v, err);
	if (rc == OK)
		rc = fs->ops->sync(fs, v->file, err);
	fs->ops->close(fs, v->file);
	if (rc == OK)
		rc = fs->ops->rename(fs, part.p, path, err);
	if (rc)
		(void)fs->ops->remove(fs, part.p, NULL);
	return rc ? rc : fs->ops->sync_dir(fs, dir.p, err);
}

static void put_time(struct buf *out, uint64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	char text[32] = "";
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_z(out, text);
}

static enum code take_backup(struct cli *cli, const char *path, struct err *err)
{
	const char *to = cli_text(cli, FLAG_RECIPIENT);
	struct receiving v = { .reader = backup_reader_new(NULL, NULL) };
	bool is_stdout = strcmp(path, "-") == 0;
	enum code rc = to ? seal_public_load(to, &v.recipient, err) : OK;

	if (rc == OK)
		rc = is_stdout ? receive(cli, &v, err) :
				 receive_file(cli, &v, path, err);
	if (rc == OK) {
		const struct backup_head *h = backup_reader_head(v.reader);
		AUTO_BUF line = BUF_NONE;

		put_time(&line, h->time_ms);
		fprintf(stderr, "conflux: a backup of %s, log index %llu, made by "
			"node %llu: %llu bytes%s, verified\n", line.p,
			(unsigned long long)h->index, (unsigned long long)h->node,
			(unsigned long long)v.at,
			v.recipient ? ", sealed" : "");
	}
	seal_out_free(&v.seal);
	seal_public_free(&v.recipient);
	backup_reader_free(&v.reader);
	return rc;
}

/* ---- looking at one ---- */

static void set_text(struct cli *cli, struct value *v, const char *name,
		     struct str text)
{
	value_set(cli->arena, v, str_of(name),
		  value_str(cli->arena, arena_str(cli->arena, text)));
}

static void set_number(struct cli *cli, struct value *v, const char *name,
		       uint64_t n)
{
	value_set(cli->arena, v, str_of(name), value_u64(cli->arena, n));
}

static struct value *facts_of(struct cli *cli, const struct backup_facts *f)
{
	struct value *v = value_object(cli->arena);
	AUTO_BUF made = BUF_NONE;
	char cluster[37];

	uuid_text(cluster, f->cluster);
	put_time(&made, f->time_ms);
	set_text(cli, v, "cluster_id", str_of(cluster));
	set_number(cli, v, "node_id", f->node);
	set_text(cli, v, "made", buf_view(&made));
	set_text(cli, v, "conflux", str_of(f->version));
	set_number(cli, v, "index", f->index);
	set_number(cli, v, "term", f->term);
	/* There may be later ones in it. */
	set_number(cli, v, "revision", f->rev);
	set_number(cli, v, "members", f->n_members);
	set_number(cli, v, "state_bytes", f->bytes);
	value_setz(cli->arena, v, "sealed",
		   value_bool(cli->arena, f->is_sealed));
	return v;
}

static enum code verify(struct cli *cli, const char *path, struct err *err)
{
	struct backup_file *f = NULL;
	struct backup_facts facts;
	struct value *v;
	enum code rc = backup_file_open(path, cli_text(cli, FLAG_KEY), &f, err);

	if (rc == OK)
		rc = backup_verify(f, &facts, err);
	backup_file_close(&f);
	if (rc)
		return err_wrap(err, "%s", path);
	v = facts_of(cli, &facts);
	value_setz(cli->arena, v, "whole", value_bool(cli->arena, true));
	return out_members(cli, v, err);
}

enum code cli_cluster_backup(struct cli *cli, struct err *err)
{
	const char *what = cli->n_args > 1 ? cli->args[1] : "";
	struct value *v;
	enum code rc;

	if (cli->n_args == 2 && strcmp(what, "status") == 0) {
		rc = cli_get(cli, STR("/_cluster/backup"), &v, err);
		return rc ? rc : out_members(cli, v, err);
	}
	if (cli->n_args == 3 && strcmp(what, "verify") == 0)
		return verify(cli, cli->args[2], err);
	if (cli->n_args == 2)
		return take_backup(cli, what, err);
	err_set(err, E_USAGE, "cluster backup: a file is to be named");
	return err_hint(err, "conflux cluster backup FILE, or - for standard "
			"output; backup verify FILE; backup status");
}

/* ---- restoring ---- */

static void tell_how(const struct restore_config *c,
		     const struct restore_result *r, const char *keys)
{
	const char *flag = keys ? " --storage-encryption-key-file " : "";
	char cluster[37];

	keys = keys ? keys : "";

	uuid_text(cluster, r->cluster);
	fprintf(stderr, "conflux: %s is the data directory of a new cluster of "
		"one node.\n  Alone:         confluxd --data-dir %s --node-id "
		"%llu%s%s\n", c->dir, c->dir, (unsigned long long)c->node_id, flag,
		keys);
	if (c->address[0])
		fprintf(stderr, "  For others to join:\n    confluxd --data-dir %s "
			"--node-id %llu --raft-listen %s --peers %llu=%s "
			"--cluster-join %s%s%s\n", c->dir,
			(unsigned long long)c->node_id, c->address,
			(unsigned long long)c->node_id, c->address, cluster, flag,
			keys);
	else
		fprintf(stderr, "  Others can join it only if --address was said "
			"(host:port for other nodes).\n");
	fprintf(stderr, "  Tokens are those of the backup, its root token "
		"too.\n");
}

static enum code need_dir(const struct restore_config *c, struct err *err)
{
	if (c->dir)
		return OK;
	err_set(err, E_USAGE, "cluster restore: --data-dir is missing");
	return err_hint(err, "the folder that the new node is to have; confluxd "
			"must not run on it");
}

static enum code print_restored(struct cli *cli, const struct restore_result *r,
				struct err *err)
{
	struct value *v = value_object(cli->arena);
	char cluster[37];

	uuid_text(cluster, r->cluster);
	set_text(cli, v, "cluster_id", str_of(cluster));
	set_number(cli, v, "revision", r->rev);
	value_setz(cli->arena, v, "of", facts_of(cli, &r->of));
	return out_members(cli, v, err);
}

enum code cli_cluster_restore(struct cli *cli, struct err *err)
{
	const char *address = cli_text(cli, FLAG_ADDRESS);
	struct restore_config c = { .key = cli_text(cli, FLAG_KEY),
				    .dir = cli_text(cli, FLAG_DATA_DIR),
				    .node_id = 1,
				    .address = address ? address : "",
				    .aside = cli_has(cli, FLAG_MOVE_ASIDE) };
	const char *key_file = cli_text(cli, FLAG_ENCRYPTION_KEY);
	struct keyring *keys = NULL;
	struct restore_result r;
	enum code rc;

	if (cli->n_args != 2) {
		err_set(err, E_USAGE, "cluster restore: one file is to be named");
		return err_hint(err, "conflux cluster restore FILE --data-dir "
				"DIR");
	}
	c.file = cli->args[1];
	rc = need_dir(&c, err);
	if (rc == OK)
		rc = cli_u64(cli, FLAG_NODE_ID, &c.node_id, err);
	if (rc == OK && (c.node_id == 0 || c.node_id > 65535))
		rc = err_set(err, E_USAGE, "--node-id is a number of 1 to 65535");
	if (rc == OK && key_file)
		rc = keyring_load(key_file, &keys, err);
	if (rc)
		return rc;
	c.seal = keys ? keyring_provider(keys) : NULL;
	rc = restore_run(&c, &r, err);
	keyring_free(&keys);
	if (rc == E_EXISTS)
		err_hint(err, "name a new folder, or --move-aside to keep what is "
			 "there in %s/before-restore-*", c.dir);
	if (rc == E_CORRUPT)
		err_hint(err, "nothing was touched; take another backup, and look "
			 "at it with conflux cluster backup verify");
	if (rc)
		return rc;
	rc = print_restored(cli, &r, err);
	tell_how(&c, &r, key_file);
	return rc;
}
