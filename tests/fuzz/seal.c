/*
 * What is sealed, from whoever had the disk in his hands: key files, PEM, sealed
 * streams and sealed files.  Refused, or opened; never a crash.  Nothing that was
 * not sealed comes out of a stream: the file key of an input is not known here,
 * but for streams that the corpus has.
 *
 * The first byte says which.  A stream comes in pieces of as many bytes as the
 * second byte says.
 */
#include <stdint.h>

#include "base/mem.h"
#include "io/sim/disk.h"
#include "seal/files.h"
#include "seal/keyring.h"
#include "seal/stream.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS "one 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static struct keyring *keys;

static void key_file(struct str in)
{
	struct keyring *k;
	struct err err;

	if (keyring_parse(in, "fuzz", &k, &err))
		return;
	must(keyring_count(k) > 0 && seal_is_on(keyring_provider(k)));
	keyring_free(&k);
}

static void pem(struct str in)
{
	struct seal_public *to;
	struct seal_private *own;
	struct err err;

	if (seal_public_parse(in, "fuzz", &to, &err) == OK)
		seal_public_free(&to);
	if (seal_private_parse(in, "fuzz", &own, &err) == OK)
		seal_private_free(&own);
}

static enum code gather(void *out, const void *p, size_t n, struct err *err)
{
	buf_add(out, p, n);
	return OK;
}

static void stream(struct str in)
{
	AUTO_BUF out = BUF_NONE;
	size_t piece = in.n ? (unsigned char)in.p[0] + 1u : 1;
	struct seal_in *s = seal_in_new(keyring_provider(keys), NULL,
					STR("conflux test stream"), gather, &out);
	struct err err;
	enum code rc = OK;

	for (in = str_from(in, 1); in.n && rc == OK; in = str_from(in, piece))
		rc = seal_in_put(s, in.p, MIN(piece, in.n), &err);
	if (rc == OK)
		rc = seal_in_end(s, &err);
	must(rc || str_is(buf_view(&out), "nothing is lost"));
	seal_in_free(&s);
}

static void file(struct str in)
{
	struct disk *disk = disk_new(1);
	struct fs *inner = disk_fs(disk), *fs;
	struct seal_files *files = seal_files_new(inner, keyring_provider(keys),
						  STR("conflux test"));
	AUTO_BUF out = BUF_NONE;
	struct file *f;
	struct err err;

	fs = seal_files_fs(files);
	must(inner->ops->make_dir(inner, "d", NULL) == OK);
	must(fs_put(inner, "d", "d/f", in, NULL) == OK);
	if (fs_get(fs, "d/f", &out, &err) == OK && !seal_file_is(in))
		must(str_eq(buf_view(&out), in));
	buf_reset(&out);
	must(seal_file_key(inner, "d/f", &out, &err) == OK);
	/* Where it opens, it can be written and read back. */
	if (fs->ops->open(fs, "d/f", FILE_WRITE, &f, &err) == OK) {
		char back[4];
		size_t got;

		if (fs->ops->write(fs, f, 5000, "here", 4, &err) == OK)
			must(fs->ops->read(fs, f, 5000, back, 4, &got, &err) ==
			     OK && got == 4 && memcmp(back, "here", 4) == 0);
		fs->ops->close(fs, f);
	}
	seal_files_free(&files);
	disk_free(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);

	if (!keys)
		must(keyring_parse(STR(KEYS), "keys", &keys, NULL) == OK);
	if (size == 0)
		return 0;
	in = str_from(in, 1);
	if (in.n == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		key_file(in);
		break;
	case 1:
		pem(in);
		break;
	case 2:
		stream(in);
		break;
	default:
		file(in);
	}
	return 0;
}
