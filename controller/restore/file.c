/* Backups in files: see restore.h. */
#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "restore/restore.h"

#include "base/banned.h"

#define READ_BYTES (256u * 1024)

struct backup_file {
	struct file *file;
	uint64_t at;
	char *bytes;                     /* as they are in the file */
	bool is_sealed, is_over;
	struct seal_private *key;
	struct seal_in *seal;
	struct buf plain;                /* opened, not handed on yet */
	size_t taken;
};

static enum code read_more(struct backup_file *f, size_t *got, struct err *err)
{
	struct fs *fs = fs_real();
	enum code rc = fs->ops->read(fs, f->file, f->at, f->bytes, READ_BYTES,
				     got, err);

	f->at += *got;
	return rc;
}

enum code backup_file_open(const char *path, const char *key,
			   struct backup_file **out, struct err *err)
{
	struct backup_file *f = NEW(struct backup_file);
	size_t got = 0;
	enum code rc = fs_real()->ops->open(fs_real(), path, 0, &f->file, err);

	f->bytes = mem_alloc(READ_BYTES);
	if (rc == OK && key)
		rc = seal_private_load(key, &f->key, err);
	if (rc == OK)
		rc = read_more(f, &got, err);
	if (rc) {
		backup_file_close(&f);
		return rc;
	}
	f->is_sealed = seal_stream_is(str_n(f->bytes, got));
	*out = f;
	return OK;
}

void backup_file_close(struct backup_file **fp)
{
	struct backup_file *f = TAKE(*fp);

	if (!f)
		return;
	if (f->file)
		fs_real()->ops->close(fs_real(), f->file);
	seal_in_free(&f->seal);
	seal_private_free(&f->key);
	buf_fini(&f->plain);
	free(f->bytes);
	free(f);
}

bool backup_file_is_sealed(const struct backup_file *f)
{
	return f->is_sealed;
}

/* ---- as a source ---- */

static enum code take_plain(void *data, const void *p, size_t n,
			    struct err *err)
{
	struct backup_file *f = data;

	buf_add(&f->plain, p, n);
	return OK;
}

static enum code source_rewind(void *data, struct err *err)
{
	struct backup_file *f = data;

	f->at = 0;
	f->is_over = false;
	f->taken = 0;
	buf_reset(&f->plain);
	seal_in_free(&f->seal);
	if (!f->is_sealed)
		return OK;
	if (!f->key) {
		err_set(err, E_DENIED, "the backup is sealed");
		return err_hint(err, "--key names a file with the private key "
				     "that belongs to it");
	}
	f->seal = seal_in_new(NULL, f->key, BACKUP_CONTEXT, take_plain, f);
	return OK;
}

static enum code open_more(struct backup_file *f, struct err *err)
{
	size_t got;
	enum code rc = read_more(f, &got, err);

	buf_reset(&f->plain);
	f->taken = 0;
	if (rc)
		return rc;
	f->is_over = got == 0;
	if (!f->is_sealed)
		buf_add(&f->plain, f->bytes, got);
	else if (got)
		rc = seal_in_put(f->seal, f->bytes, got, err);
	else
		rc = seal_in_end(f->seal, err);
	return rc;
}

static enum code source_read(void *data, void *p, size_t n, size_t *got,
			     struct err *err)
{
	struct backup_file *f = data;
	enum code rc = OK;

	*got = 0;
	while (rc == OK && f->taken == f->plain.n && !f->is_over)
		rc = open_more(f, err);
	if (rc)
		return rc;
	*got = MIN(n, f->plain.n - f->taken);
	memcpy(p, f->plain.p + f->taken, *got);
	f->taken += *got;
	return OK;
}

struct rc_source backup_file_source(struct backup_file *f)
{
	return (struct rc_source){ source_rewind, source_read, f };
}

/* ---- what it is ---- */

void backup_about(struct buf *out, const char *version, uint64_t rev)
{
	buf_printf(out, "conflux %s\nrevision %llu\n", version,
		   (unsigned long long)rev);
}

static void take_facts(void *data, const struct backup_head *h)
{
	struct backup_facts *facts = data;
	struct str rest = h->about;

	facts->cluster = h->cluster;
	facts->node = h->node;
	facts->index = h->index;
	facts->term = h->term;
	facts->time_ms = h->time_ms;
	facts->bytes = h->bytes;
	facts->n_members = h->n_members;
	while (rest.n) {
		struct str value = str_cut(&rest, '\n');
		struct str name = str_cut(&value, ' ');

		if (str_is(name, "revision"))
			(void)!str_u64(value, &facts->rev);
		else if (str_is(name, "conflux"))
			str_copy(facts->version, sizeof(facts->version), value);
	}
}

enum code backup_verify(struct backup_file *f, struct backup_facts *out,
			struct err *err)
{
	struct rc_source source = backup_file_source(f);

	*out = (struct backup_facts){ .is_sealed = f->is_sealed };
	return rc_backup_check(&source, take_facts, out, err);
}
