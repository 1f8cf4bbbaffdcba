/*
 * libconflux: a program's configuration, kept current, for C and C++.
 *
 *	struct cfx_options options = CFX_OPTIONS_INIT;
 *	struct cfx_error error;
 *	struct cfx *cfx;
 *
 *	options.endpoints = "https://a:8443,https://b:8443";
 *	options.token = getenv("TOKEN");
 *	options.tenant = "acme", options.application = "shop";
 *	options.environment = "prod", options.configs = "main.json";
 *	if (cfx_open(&options, &cfx, &error))
 *		... error.text says what, where and what to do
 *	timeout = cfx_get_i64(cfx, "main.json", "http.timeout_ms", 500);
 *
 * Values are read from an immutable picture of all configurations, which the
 * library replaces as a whole: getters take no lock, never wait and never fail.
 *
 * Whatever can fail says so by a code: no failed allocation ends the program, no
 * signal is sent, caught or needed, nothing is written to standard output or
 * error, and two users of the library in one process do not meet.
 *
 * Threads: getters, views, cfx_status and cfx_on_change from any thread at any time
 * between cfx_open and cfx_close.  Callbacks run one at a time: on the library's
 * thread, or inside cfx_dispatch where CFX_MODE_LOOP is chosen, or inside cfx_open.
 *
 * After fork a child may go on reading what it has, and nothing else; it does not
 * call cfx_close.  A child that needs more opens its own.
 *
 * The manual is docs/sdk.md and libconflux(3).
 */
#ifndef CONFLUX_H
#define CONFLUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Numbers below 100 are the server's table of errors too; more may come. */
enum cfx_code {
	CFX_OK = 0,
	CFX_E_INTERNAL = 1,
	CFX_E_INVALID = 2,               /* the server calls the request malformed */
	CFX_E_UNAUTHORIZED = 3,          /* no valid token */
	CFX_E_DENIED = 4,                /* the token may not read this */
	CFX_E_NOT_FOUND = 5,
	CFX_E_TOO_LARGE = 12,
	CFX_E_RATE = 15,
	CFX_E_UNAVAILABLE = 16,          /* no server answers */
	CFX_E_TIMEOUT = 17,
	CFX_E_PARSE = 19,                /* content that is not of its format */
	CFX_E_IO = 20,
	CFX_E_CORRUPT = 21,              /* hash, checksum or signature is wrong */
	CFX_E_UNSUPPORTED = 24,
	CFX_E_USAGE = 25,                /* an option or argument is wrong */
	CFX_E_TLS = 28,
	CFX_E_NO_MEMORY = 100,
	CFX_E_REJECTED = 101             /* the program's validator said no */
};

/* "unavailable"; for any number. */
const char *cfx_code_name(enum cfx_code code);

struct cfx_error {
	enum cfx_code code;
	char text[300];                  /* one line; empty with CFX_OK */
};

struct cfx;
struct cfx_view;

/* ---- open ---- */

enum cfx_boot {
	/* cfx_open waits until a server has given everything; else it fails.  It
	 * fails at once where the cluster refuses, or when each endpoint has
	 * failed once or has no such configuration. */
	CFX_BOOT_FAIL_FAST,
	/* The same, but then the snapshot is taken, and without one the defaults
	 * of the getters.  What comes later is taken when it comes. */
	CFX_BOOT_FAIL_SAFE,
	/* Waits for nothing: the snapshot, or the defaults, until a server
	 * answers. */
	CFX_BOOT_AT_ONCE
};

enum cfx_mode {
	CFX_MODE_THREAD,                 /* a thread of the library's own */
	CFX_MODE_LOOP                    /* cfx_fd, cfx_timeout_ms, cfx_dispatch */
};

/* Who says that a version is in force. */
enum cfx_acknowledges {
	/* The library: what the validator has not rejected is applied. */
	CFX_ACKNOWLEDGE_BY_LIBRARY,
	/* The program, by cfx_acknowledge, when it knows; the library still says what
	 * the validator or the parser rejected. */
	CFX_ACKNOWLEDGE_BY_PROGRAM
};

enum cfx_level { CFX_LOG_DEBUG, CFX_LOG_INFO, CFX_LOG_WARNING };

/* Memory of the library's own; all four or none.  Any thread. */
struct cfx_allocator {
	void *(*alloc)(void *user, size_t bytes);
	void *(*resize)(void *user, void *p, size_t bytes);
	void (*release)(void *user, void *p);    /* not of NULL */
	void *user;
};

struct cfx_candidate {
	const char *config;
	const struct cfx_view *view;     /* everything as it would become */
	uint64_t version, revision;
	const char *source;              /* "server" or "snapshot" */
};

/* False: the version is not taken, and who published it is told 'reason' (at most
 * 'size' bytes with the NUL; empty: none).  Also where content is not of its format
 * the library rejects it by itself. */
typedef bool cfx_validator(void *data, const struct cfx_candidate *candidate,
			   char *reason, size_t size);

/* All texts are copied.  What is 0 or NULL has a default or is not used. */
struct cfx_options {
	size_t size;                     /* sizeof(struct cfx_options) */
	const char *endpoints;           /* "http://a:8080,https://b:8443"; 1 to 16 */
	const char *tenant, *application, *environment;
	const char *configs;             /* names with commas between; 1 to 64 */
	const char *labels;              /* "region=eu,zone=a"; choose the version */
	const char *instance;            /* to acknowledgements and release rules; stays
					    over restarts; NULL: a random one */

	const char *token;               /* bearer token, or */
	const char *token_file;          /* a file with it, read again when refused */
	const char *ca_file;             /* PEM; NULL: the system's authorities */
	const char *cert_file, *key_file;  /* PEM: a client certificate */
	const char *public_key_file;     /* PEM, Ed25519: only what is signed by it
					    is taken, from servers and snapshot */

	enum cfx_boot boot;
	enum cfx_mode mode;
	enum cfx_acknowledges acknowledges;
	unsigned boot_timeout_ms;        /* 10,000 */
	unsigned connect_timeout_ms;     /* 3,000: address to TLS */
	unsigned request_timeout_ms;     /* 10,000: of a fetch, or 16 KiB a second */
	unsigned silence_timeout_ms;     /* 45,000: a watch that says nothing is dead */
	unsigned retry_min_ms, retry_max_ms;     /* 200 and 30,000; with full jitter */
	size_t content_max;              /* 8 MiB: larger content is refused */

	const char *snapshot_file;       /* kept there with mode 0600 */
	const char *snapshot_key_file;   /* 32 bytes, or 64 hexadecimal digits: it is
					    encrypted (AES-256-GCM) */

	cfx_validator *validator;
	void *validator_data;
	/* May be NULL; texts hold no secret. */
	void (*log)(void *data, enum cfx_level level, const char *text);
	void *log_data;
	const struct cfx_allocator *allocator;   /* NULL: malloc */
	/* Of a version of which no more is known so long after it came it is said that
	 * it was received.  1,000; 1 with CFX_ACKNOWLEDGE_BY_PROGRAM. */
	unsigned received_ms;
};

#define CFX_OPTIONS_INIT { .size = sizeof(struct cfx_options) }

/*
 * Opens; 'error' may be NULL.  '*out' is written with CFX_OK only.  CFX_E_USAGE: an
 * option; CFX_E_NO_MEMORY; CFX_E_IO: no descriptor, no thread, a file; with
 * CFX_BOOT_FAIL_FAST also why there is no configuration.
 */
enum cfx_code cfx_open(const struct cfx_options *options, struct cfx **out,
		       struct cfx_error *error);
/* Ends the library's thread and lets go of everything but views that are still
 * held.  No other call may be under way; not from a callback.  NULL is fine. */
void cfx_close(struct cfx *cfx);

/* ---- values ---- */

/*
 * 'path' is "http.timeout_ms" or "list.0.name"; a key with a dot in it is reached
 * by a path that begins with '/' (RFC 6901): "/hosts/a.example/port".  An empty
 * path is the whole content.  Structured is what has the format JSON, YAML or TOML; of
 * other formats there is the whole content, as a text.
 *
 * The default is answered where the configuration or the path is not there, or the
 * value has another type.  A number is a whole one for i64 where it has no fraction
 * ("1e3" has none) and fits; a double may be any that is finite.  Of content that is
 * not structured the empty path also reads "42", "0.5" and "true", with white space
 * around.
 */
int64_t cfx_get_i64(const struct cfx *cfx, const char *config, const char *path,
		    int64_t fallback);
double cfx_get_double(const struct cfx *cfx, const char *config, const char *path,
		      double fallback);
bool cfx_get_bool(const struct cfx *cfx, const char *config, const char *path,
		  bool fallback);
/* Copies a string (a number or boolean as it is written, an object or array as
 * JSON) with a NUL, cut to 'size'.  Answers the whole length, as snprintf does.
 * 'fallback' may be NULL: an empty text. */
size_t cfx_get_string(const struct cfx *cfx, const char *config, const char *path,
		      const char *fallback, char *buffer, size_t size);

/* ---- views: several values of one picture ---- */

/* The picture of now, which stays as it is while it is held; never NULL. */
struct cfx_view *cfx_view(const struct cfx *cfx);
void cfx_view_free(struct cfx_view *view);       /* NULL is fine; any time */

int64_t cfx_view_i64(const struct cfx_view *view, const char *config,
		     const char *path, int64_t fallback);
double cfx_view_double(const struct cfx_view *view, const char *config,
		       const char *path, double fallback);
bool cfx_view_bool(const struct cfx_view *view, const char *config,
		   const char *path, bool fallback);
/* Lives as long as the view.  An object, array or whole content is not ended by a
 * NUL ('*bytes' may be NULL where it does not matter). */
const char *cfx_view_string(const struct cfx_view *view, const char *config,
			    const char *path, const char *fallback, size_t *bytes);

/* The whole content, byte for byte as it was published: of JSON also the white space
 * around it, and a text with its quotes.  NULL: the configuration is not there. */
const char *cfx_view_content(const struct cfx_view *view, const char *config,
			     size_t *bytes);

enum cfx_type {
	CFX_NONE, CFX_NULL, CFX_BOOL, CFX_NUMBER, CFX_STRING, CFX_ARRAY, CFX_OBJECT,
	CFX_TEXT                         /* content that is not structured */
};
enum cfx_type cfx_view_type(const struct cfx_view *view, const char *config,
			    const char *path);
/* Members of an object or array; 0 of anything else. */
size_t cfx_view_count(const struct cfx_view *view, const char *config,
		      const char *path);

struct cfx_info {
	uint64_t version, revision;
	char sha256[65];                 /* of the content, hexadecimal */
	const char *content_type;        /* "application/json" */
	size_t bytes;
	bool is_from_snapshot;
};
/* False: the configuration is not there. */
bool cfx_view_info(const struct cfx_view *view, const char *config,
		   struct cfx_info *out);

/* ---- changes ---- */

struct cfx_change {
	const char *config;
	const char *path;                /* as it was asked for */
	const struct cfx_view *before, *after;   /* for the callback's time */
	uint64_t version;
};
typedef void cfx_listener(void *data, const struct cfx_change *change);

/*
 * Calls 'fn' when the value at 'path' of 'config' (NULL: of any) has become another
 * one; getters then see it.  For an object, array or whole content that is when its
 * bytes differ.  Configurations that one command changed come together.
 * '*id' is for cfx_off_change.  CFX_E_NO_MEMORY; CFX_E_USAGE: no such configuration.
 */
enum cfx_code cfx_on_change(struct cfx *cfx, const char *config, const char *path,
			    cfx_listener *fn, void *data, uint64_t *id);
/* When it returns the listener runs no more, nor will: so not under a lock that
 * a listener takes.  From inside a listener it does not wait. */
void cfx_off_change(struct cfx *cfx, uint64_t id);

/*
 * With CFX_ACKNOWLEDGE_BY_PROGRAM: what has become of a version of the picture: it is
 * in force, or it is not, for 'reason' (may be NULL; cut to 239 bytes).  Any thread;
 * sent when a server is there, and again to the next one; the last word counts.  A
 * version that is not that of the picture any more is passed over; what it is said
 * of holds of a later version of the same content, whichever comes first.
 * CFX_E_USAGE: no such configuration, or the library acknowledges.
 */
enum cfx_code cfx_acknowledge(struct cfx *cfx, const char *config, uint64_t version,
			      bool is_applied, const char *reason);

/* ---- in a loop of the program's own (CFX_MODE_LOOP) ---- */

/* Readable when there is something to do; the same one until cfx_close. */
int cfx_fd(const struct cfx *cfx);
/* In how many milliseconds to call cfx_dispatch at the latest; -1: no limit. */
int cfx_timeout_ms(const struct cfx *cfx);
/* Does what there is to do, and does not wait (names are looked up and the snapshot
 * is written by a thread for the purpose).  One thread at a time. */
void cfx_dispatch(struct cfx *cfx);

/* ---- how it stands ---- */

struct cfx_status {
	size_t size;                     /* sizeof(struct cfx_status), by the caller */
	bool is_connected;               /* a watch is open */
	bool is_complete;                /* every configuration is there */
	bool is_from_snapshot;           /* one of them is from the snapshot */
	char endpoint[256];              /* asked now or last */
	uint64_t revision;               /* seen up to */
	uint64_t pictures, fetches, rejected, connects, acknowledged;
	int64_t stale_ms;                /* since the last watch was lost; 0: none is */
	struct cfx_error last;           /* what went wrong last */
	/* Configurations that were applied or rejected, of which no server has heard
	 * that yet. */
	uint64_t unheard;
};
void cfx_status(const struct cfx *cfx, struct cfx_status *out);

/* "0.1.0" of the library that runs. */
const char *cfx_version(void);

#ifdef __cplusplus
}
#endif

#endif
