/* Sealed files: see files.h. */
#include "seal/files.h"

#include "base/mem.h"
#include "base/rand.h"
#include "base/secret.h"
#include "wire/sum.h"
#include "wire/wire.h"

#include "base/banned.h"

#define CHUNK SEAL_FILE_CHUNK
#define BLOCK FILE_BLOCK
#define SLOT (BLOCK + CHUNK)
#define VERSION 1
#define HEAD_BYTES 28u                   /* up to the envelope */
#define SLOT_HEAD_BYTES (4 + SEAL_NONCE_BYTES + SEAL_TAG_BYTES)
#define ULL(x) ((unsigned long long)(x))

_Static_assert(HEAD_BYTES + SEAL_ENVELOPE_MAX + 4 <= BLOCK,
	       "a header is one block");

struct seal_files {
	struct fs fs;
	struct fs *inner;
	const struct seal_provider *provider;
	struct buf context;
};

struct file {
	struct file *inner;
	struct aead *aead;               /* NULL: it is plain */
	char *path;
	char *slot;                      /* a block and a chunk; NULL: plain */
	uint64_t cached;                 /* the chunk in it, plain; or NONE */
	uint32_t length;                 /* of that */
};

#define NONE UINT64_MAX

static struct seal_files *of(struct fs *fs)
{
	return container_of(fs, struct seal_files, fs);
}

static enum code damaged(const struct file *f, uint64_t at, const char *what,
			 struct err *err)
{
	return err_set(err, E_CORRUPT, "%s: damaged at %llu: %s", f->path, ULL(at),
		       what);
}

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* ---- the header ---- */

bool seal_file_is(struct str begin)
{
	return str_starts(begin, STR(SEAL_FILE_MAGIC));
}

/* The envelope in a header; false: it is damaged. */
static bool header_decode(struct str block, struct str *envelope,
			  uint32_t *version)
{
	struct rd rd = rd_of(block);
	uint32_t chunk, n;

	(void)rd_raw(&rd, 16);
	*version = rd_u32(&rd);
	chunk = rd_u32(&rd);
	n = rd_u32(&rd);
	if (n > SEAL_ENVELOPE_MAX)
		return false;
	*envelope = rd_raw(&rd, n);
	if (rd_u32(&rd) != crc32c(0, block.p, HEAD_BYTES + n) || rd.bad)
		return false;
	return (chunk == CHUNK || *version != VERSION) &&
	       is_zero((const char *)rd.p, rd_left(&rd));
}

static void take_key(struct file *f, struct seal_key *key)
{
	f->aead = aead_new(key);
	wipe(key, sizeof(*key));
	if (!f->slot)
		f->slot = file_alloc(SLOT);
	f->cached = NONE;
}

static enum code open_header(struct seal_files *s, struct file *f,
			     struct err *err)
{
	struct str block = str_n(f->slot, BLOCK), envelope;
	struct seal_key key;
	uint32_t version;
	enum code rc;

	if (!header_decode(block, &envelope, &version))
		return damaged(f, 0, "the header", err);
	if (version != VERSION)
		return err_set(err, E_UNSUPPORTED, "%s: sealed in format %u, this "
			       "version reads %d", f->path, version, VERSION);
	rc = seal_envelope_open(s->provider, NULL, buf_view(&s->context), envelope,
				&key, err);
	if (rc)
		return err_wrap(err, "%s", f->path);
	take_key(f, &key);
	return OK;
}

static enum code make_header(struct seal_files *s, struct file *f,
			     struct err *err)
{
	AUTO_BUF envelope = BUF_NONE;
	AUTO_BUF head = BUF_NONE;
	struct seal_key key;
	enum code rc = seal_envelope_new(s->provider, buf_view(&s->context), &key,
					 &envelope, err);

	if (rc)
		return err_wrap(err, "%s", f->path);
	wr_raw(&head, SEAL_FILE_MAGIC, 16);
	wr_u32(&head, VERSION);
	wr_u32(&head, CHUNK);
	wr_u32(&head, (uint32_t)envelope.n);
	buf_str(&head, buf_view(&envelope));
	wr_u32(&head, crc32c(0, head.p, head.n));
	memset(f->slot, 0, BLOCK);
	memcpy(f->slot, head.p, head.n);
	rc = s->inner->ops->write(s->inner, f->inner, 0, f->slot, BLOCK, err);
	if (rc)
		wipe(&key, sizeof(key));
	else
		take_key(f, &key);
	return rc;
}

/* ---- opening ---- */

static void sealed_close(struct fs *fs, struct file *f)
{
	struct seal_files *s = of(fs);

	s->inner->ops->close(s->inner, f->inner);
	aead_free(&f->aead);
	if (f->slot)
		wipe(f->slot, SLOT);
	free(f->slot);
	free(f->path);
	free(f);
}

static enum code take_up(struct seal_files *s, struct file *f, unsigned flags,
			 struct err *err)
{
	bool writes = flags & FILE_WRITE, is_on = seal_is_on(s->provider);
	size_t got;
	enum code rc = s->inner->ops->read(s->inner, f->inner, 0, f->slot, BLOCK,
					   &got, err);

	if (rc)
		return rc;
	if (got && seal_file_is(str_n(f->slot, got))) {
		if (got < BLOCK)
			return damaged(f, 0, "the header", err);
		return open_header(s, f, err);
	}
	if (got && writes && is_on)
		return err_set(err, E_CONFLICT, "%s is there and is not sealed",
			       f->path);
	if (got == 0 && writes && is_on)
		return make_header(s, f, err);
	free(f->slot);
	f->slot = NULL;
	return OK;
}

static enum code sealed_open(struct fs *fs, const char *path, unsigned flags,
			     struct file **out, struct err *err)
{
	struct seal_files *s = of(fs);
	struct file *f, *inner;
	enum code rc = s->inner->ops->open(s->inner, path, flags, &inner, err);

	if (rc)
		return rc;
	f = NEW(struct file);
	f->inner = inner;
	f->path = mem_dup(path, strlen(path));
	f->slot = file_alloc(SLOT);
	rc = take_up(s, f, flags, err);
	if (rc)
		sealed_close(fs, f);
	else
		*out = f;
	return rc;
}

/* ---- chunks ---- */

static uint64_t slot_at(uint64_t chunk)
{
	return BLOCK + chunk * SLOT;
}

struct slot_head {
	uint32_t length;
	uint8_t nonce[SEAL_NONCE_BYTES], tag[SEAL_TAG_BYTES];
};

static void ad_of(uint64_t chunk, uint32_t length, char out[12])
{
	for (unsigned i = 0; i < 8; i++)
		out[i] = (char)(chunk >> (8 * i));
	for (unsigned i = 0; i < 4; i++)
		out[8 + i] = (char)(length >> (8 * i));
}

static bool head_decode(const char *block, struct slot_head *out)
{
	struct rd rd = rd_of(str_n(block, BLOCK));

	out->length = rd_u32(&rd);
	memcpy(out->nonce, rd_raw(&rd, SEAL_NONCE_BYTES).p, SEAL_NONCE_BYTES);
	memcpy(out->tag, rd_raw(&rd, SEAL_TAG_BYTES).p, SEAL_TAG_BYTES);
	return out->length && out->length <= CHUNK &&
	       is_zero((const char *)rd.p, rd_left(&rd));
}

static uint32_t whole_blocks(uint32_t n)
{
	return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* Reads slot 'chunk' into f->slot; '*got' is 0 behind the end of the file. */
static enum code read_slot(struct seal_files *s, struct file *f, uint64_t chunk,
			   size_t *got, struct err *err)
{
	f->cached = NONE;
	return s->inner->ops->read(s->inner, f->inner, slot_at(chunk), f->slot,
				   SLOT, got, err);
}

/* Decrypts what read_slot brought. */
static enum code open_slot(struct file *f, uint64_t chunk, size_t got,
			   struct err *err)
{
	struct slot_head h;
	char ad[12];

	if (got < BLOCK || !head_decode(f->slot, &h) ||
	    got < BLOCK + whole_blocks(h.length))
		return damaged(f, slot_at(chunk), "a chunk is not there", err);
	ad_of(chunk, h.length, ad);
	if (!aead_open(f->aead, h.nonce, str_n(ad, sizeof(ad)), f->slot + BLOCK,
		       h.length, h.tag) ||
	    !is_zero(f->slot + BLOCK + h.length,
		     whole_blocks(h.length) - h.length))
		return damaged(f, slot_at(chunk), "a chunk does not open with its "
			       "key", err);
	f->cached = chunk;
	f->length = h.length;
	return OK;
}

/* OK with '*is_there' false: the file ends before it. */
static enum code load(struct seal_files *s, struct file *f, uint64_t chunk,
		      bool *is_there, struct err *err)
{
	size_t got;
	enum code rc;

	*is_there = true;
	if (f->cached == chunk)
		return OK;
	rc = read_slot(s, f, chunk, &got, err);
	*is_there = got > 0;
	if (rc || !got)
		return rc;
	return open_slot(f, chunk, got, err);
}

/* ---- reading ---- */

static enum code sealed_read(struct fs *fs, struct file *f, uint64_t at, void *p,
			     size_t n, size_t *got, struct err *err)
{
	struct seal_files *s = of(fs);

	if (!f->aead)
		return s->inner->ops->read(s->inner, f->inner, at, p, n, got, err);
	*got = 0;
	while (*got < n) {
		uint64_t chunk = (at + *got) / CHUNK;
		uint32_t from = (uint32_t)((at + *got) % CHUNK), k;
		bool is_there;
		enum code rc = load(s, f, chunk, &is_there, err);

		if (rc)
			return rc;
		/* Only the last chunk is shorter than a chunk. */
		if (!is_there || from >= f->length)
			return OK;
		k = (uint32_t)MIN(n - *got, (size_t)(f->length - from));
		memcpy((char *)p + *got, f->slot + BLOCK + from, k);
		*got += k;
	}
	return OK;
}

/* The last slot says how long its chunk is. */
static enum code sealed_size(struct fs *fs, struct file *f, uint64_t *out,
			     struct err *err)
{
	struct seal_files *s = of(fs);
	uint64_t bytes, slots;
	bool is_there;
	enum code rc = s->inner->ops->size(s->inner, f->inner, &bytes, err);

	if (rc || !f->aead) {
		if (rc == OK)
			*out = bytes;
		return rc;
	}
	slots = bytes > BLOCK ? (bytes - BLOCK + SLOT - 1) / SLOT : 0;
	*out = 0;
	if (slots == 0)
		return OK;
	rc = load(s, f, slots - 1, &is_there, err);
	/* Where the last one is torn, so much is certain. */
	*out = (slots - 1) * CHUNK + (rc == OK && is_there ? f->length : 0);
	return rc == E_CORRUPT ? OK : rc;
}

/* ---- writing ---- */

/* f->slot holds the chunk, plain; it does not afterwards. */
static enum code store(struct seal_files *s, struct file *f, uint64_t chunk,
		       uint32_t length, struct err *err)
{
	uint8_t *head = (uint8_t *)f->slot, *nonce = head + 4;
	uint32_t whole = whole_blocks(length);
	char ad[12];

	f->cached = NONE;
	memset(head, 0, BLOCK);
	for (unsigned i = 0; i < 4; i++)
		head[i] = (uint8_t)(length >> (8 * i));
	rand_bytes(nonce, SEAL_NONCE_BYTES);
	memset(f->slot + BLOCK + length, 0, whole - length);
	ad_of(chunk, length, ad);
	aead_seal(f->aead, nonce, str_n(ad, sizeof(ad)), f->slot + BLOCK, length,
		  nonce + SEAL_NONCE_BYTES);
	return s->inner->ops->write(s->inner, f->inner, slot_at(chunk), f->slot,
				    BLOCK + whole, err);
}

/* What stays of a chunk that is written in part; '*length' is 0 where it was
 * never written. */
static enum code load_rest(struct seal_files *s, struct file *f, uint64_t chunk,
			   uint32_t *length, struct err *err)
{
	size_t got;
	enum code rc;

	*length = f->length;
	if (f->cached == chunk)
		return OK;
	*length = 0;
	rc = read_slot(s, f, chunk, &got, err);
	if (rc || got == 0 || is_zero(f->slot, MIN(got, (size_t)BLOCK)))
		return rc;
	rc = open_slot(f, chunk, got, err);
	if (rc == OK)
		*length = f->length;
	return rc;
}

static enum code write_part(struct seal_files *s, struct file *f, uint64_t chunk,
			    uint32_t at, const void *p, uint32_t n,
			    struct err *err)
{
	uint32_t length = 0;
	enum code rc = OK;

	if (at || n < CHUNK)
		rc = load_rest(s, f, chunk, &length, err);
	if (rc)
		return rc;
	if (at > length)
		memset(f->slot + BLOCK + length, 0, at - length);
	memcpy(f->slot + BLOCK + at, p, n);
	return store(s, f, chunk, MAX(length, at + n), err);
}

static enum code sealed_write(struct fs *fs, struct file *f, uint64_t at,
			      const void *p, size_t n, struct err *err)
{
	struct seal_files *s = of(fs);
	enum code rc = OK;

	if (!f->aead)
		return s->inner->ops->write(s->inner, f->inner, at, p, n, err);
	for (size_t done = 0; done < n && rc == OK;) {
		uint64_t chunk = (at + done) / CHUNK;
		uint32_t from = (uint32_t)((at + done) % CHUNK);
		uint32_t k = (uint32_t)MIN(n - done, (size_t)(CHUNK - from));

		rc = write_part(s, f, chunk, from, (const char *)p + done, k, err);
		done += k;
	}
	return rc;
}

/* ---- what goes through ---- */

static enum code sealed_sync(struct fs *fs, struct file *f, struct err *err)
{
	return of(fs)->inner->ops->sync(of(fs)->inner, f->inner, err);
}

static bool sealed_is_direct(struct fs *fs, struct file *f)
{
	return of(fs)->inner->ops->is_direct(of(fs)->inner, f->inner);
}

static enum code sealed_rename(struct fs *fs, const char *from, const char *to,
			       struct err *err)
{
	return of(fs)->inner->ops->rename(of(fs)->inner, from, to, err);
}

static enum code sealed_remove(struct fs *fs, const char *path, struct err *err)
{
	return of(fs)->inner->ops->remove(of(fs)->inner, path, err);
}

static enum code sealed_make_dir(struct fs *fs, const char *path,
				 struct err *err)
{
	return of(fs)->inner->ops->make_dir(of(fs)->inner, path, err);
}

static enum code sealed_sync_dir(struct fs *fs, const char *path,
				 struct err *err)
{
	return of(fs)->inner->ops->sync_dir(of(fs)->inner, path, err);
}

static enum code sealed_list(struct fs *fs, const char *path, struct buf *names,
			     struct err *err)
{
	return of(fs)->inner->ops->list(of(fs)->inner, path, names, err);
}

/* ---- life ---- */

struct seal_files *seal_files_new(struct fs *inner, const struct seal_provider *p,
				  struct str context)
{
	static const struct fs_ops ops = {
		.open = sealed_open, .close = sealed_close, .read = sealed_read,
		.write = sealed_write, .sync = sealed_sync, .size = sealed_size,
		.is_direct = sealed_is_direct, .rename = sealed_rename,
		.remove = sealed_remove, .make_dir = sealed_make_dir,
		.sync_dir = sealed_sync_dir, .list = sealed_list,
	};
	struct seal_files *s = NEW(struct seal_files);

	s->fs.ops = &ops;
	s->inner = inner;
	s->provider = p;
	buf_str(&s->context, context);
	return s;
}

void seal_files_bind(struct seal_files *s, struct str context)
{
	buf_reset(&s->context);
	buf_str(&s->context, context);
}

void seal_files_free(struct seal_files **sp)
{
	struct seal_files *s = TAKE(*sp);

	if (!s)
		return;
	buf_fini(&s->context);
	free(s);
}

struct fs *seal_files_fs(struct seal_files *s)
{
	return &s->fs;
}

enum code seal_file_key(struct fs *inner, const char *path, struct buf *name,
			struct err *err)
{
	char *block;
	struct file *file;
	struct str envelope;
	uint32_t version;
	size_t got;
	enum code rc = inner->ops->open(inner, path, 0, &file, err);

	if (rc)
		return rc;
	block = file_alloc(BLOCK);
	rc = inner->ops->read(inner, file, 0, block, BLOCK, &got, err);
	inner->ops->close(inner, file);
	if (rc == OK && got == BLOCK && seal_file_is(str_n(block, BLOCK)) &&
	    header_decode(str_n(block, BLOCK), &envelope, &version))
		buf_str(name, seal_envelope_name(envelope));
	free(block);
	return rc;
}
