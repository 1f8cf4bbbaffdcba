/*
 * Settings of confluxd: one table (settings.tbl), four places they come from.
 *
 * Later places win: the default, the file, the environment, flags.  A setting
 * sources.file_roots is `file_roots:` below `sources:` in the file,
 * CONFLUX_SOURCES_FILE_ROOTS and --sources-file-roots VALUE (or =VALUE; a flag
 * that stands twice is refused).  --data-dir, --listen, --node-id, --raft-listen
 * and --peers are short for storage.data_dir, server.listen, cluster.node_id,
 * cluster.raft_listen and cluster.peers.  The file is --config FILE, else
 * CONFLUX_CONFIG, else there is none.
 *
 *	struct settings *s = settings_new();
 *
 *	rc = settings_load(s, argc, argv, environ, &err);
 *	loops = settings_u64(s, SETTING_server_loops);
 *
 * Values never change after settings_load; SIGHUP loads a second object and
 * takes from it what may change.  One thread at a time.
 */
#ifndef TBL_SETTINGS_H
#define TBL_SETTINGS_H

#include "base/buf.h"

enum setting {
#define SETTING(section, name, type, def, least, most, unit, help) \
	SETTING_##section##_##name,
#include "tbl/settings.tbl"
#undef SETTING
	SETTING__COUNT
};

enum setting_type {
	SETTING_STRING,
	SETTING_PATH,
	SETTING_U64,
	SETTING_BYTES,
	SETTING_DURATION,
	SETTING_BOOL,
	SETTING_LIST,
	SETTING_HOSTS,
	SETTING_ENUM,
};

struct settings;

/* All defaults. */
struct settings *settings_new(void);
void settings_free(struct settings **settings);

/*
 * Reads file, environment ("NAME=value" strings, NULL last) and argv[1..], and
 * checks every value and that tls.cert_file and tls.key_file come together.
 * Once an object.  Nothing of the inputs is kept.
 *
 * Errors name the place (file and line, variable, or flag) and the setting;
 * the hint has the allowed range or the name that was probably meant.
 * E_USAGE: flags.  E_INVALID: a value or an unknown key.  E_PARSE: the file is
 * no YAML.  E_TOO_LARGE: the file is over 1 MiB.  Or why it cannot be read.
 * After an error only settings_free may be called.
 */
enum code settings_load(struct settings *settings, int argc, char *const *argv,
			char *const *env, struct err *err) MUST_USE;

/* What the flags --help, --version and --check-config ask for instead of
 * running.  After --help or --version nothing else was read. */
enum settings_ask {
	SETTINGS_RUN,
	SETTINGS_HELP,
	SETTINGS_VERSION,
	SETTINGS_CHECK,
};
enum settings_ask settings_asked(const struct settings *settings);

/* ---- values; strings live as long as 'settings' and end in NUL ---- */

/* As it was written: of any type.  Empty: not set. */
const char *settings_text(const struct settings *settings, enum setting id);
/* U64 as it is, BYTES in bytes, DURATION in milliseconds. */
uint64_t settings_u64(const struct settings *settings, enum setting id);
bool settings_bool(const struct settings *settings, enum setting id);
/* Items of a LIST or of HOSTS, '*n' of them; empty items are left out. */
const char *const *settings_list(const struct settings *settings,
				 enum setting id, size_t *n);
/* Position of an ENUM's word in its row ("info" of log.level: 1). */
unsigned settings_word(const struct settings *settings, enum setting id);
/* "default", "conflux.yaml:3", "CONFLUX_LOG_LEVEL", "--log-level". */
const char *settings_origin(const struct settings *settings, enum setting id);

/* ---- printing ---- */

/* All settings with value and origin, one a line. */
void settings_print(const struct settings *settings, struct buf *out);
/* The flags for --help, one a line. */
void settings_help(struct buf *out);
/* docs/settings.md, whole. */
void settings_reference(struct buf *out);

#endif
