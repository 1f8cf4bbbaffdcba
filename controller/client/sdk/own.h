/*
 * What the files of libconflux share; nobody else includes it.
 *
 *	cfx.c       open, close, the thread, the loop's calls, status
 *	engine.c    what is asked of whom and when: watch, fetch, fail-over
 *	renew.c     tokens and certificates that are read again
 *	ack.c       what is said of versions: received, applied, rejected
 *	commit.c    what was fetched becomes the next picture: validator, listeners
 *	events.c    server sent events
 *	link*.c, lookup.c, tls.c    connections
 *	picture.c, doc.c, json.c    values and getters
 *	yaml.c, toml*.c, table.c    other formats, made into JSON
 *	snapshot.c, save.c  the file; signature.c   who signed
 */
#ifndef CLIENT_SDK_OWN_H
#define CLIENT_SDK_OWN_H

#include <pthread.h>

#include "client/sdk/events.h"
#include "client/sdk/link.h"
#include "client/sdk/picture.h"

#define CONFLUX_SDK_VERSION "0.1.0"
#define REASON_MAX 240

/* ---- small words: util.c ---- */

struct shelf *sdk_shelf(const struct cfx *cfx);
int64_t sdk_now_ms(void);
void sdk_wake(int eventfd);
/* A thread without signals; 'out' NULL: nobody joins it.  0 or errno. */
int sdk_thread(void *(*run)(void *), void *data, pthread_t *out) MUST_USE;
/* The next of a list, trimmed; false: there is none.  An empty list has none. */
bool sdk_cut(struct str *rest, char sep, struct str *one);
bool sdk_starts(struct str s, struct str prefix);
struct str sdk_from(struct str s, size_t at);
bool sdk_u64(struct str s, uint64_t *out);
void sdk_hex(char *out, const uint8_t *p, size_t n);     /* 2n + NUL */
bool sdk_unhex(struct str s, uint8_t *out, size_t n);    /* exactly 2n digits */
/* For a URL; 'slash': one stays. */
bool sdk_escape(const heap *heap, struct bytes *out, struct str s,
		bool slash) MUST_USE;
/* With quotes. */
bool sdk_json(const heap *heap, struct bytes *out, struct str s) MUST_USE;
uint64_t sdk_random(void);                               /* no secret */
bool sdk_sha256(struct str s, uint8_t out[32]) MUST_USE; /* false: no memory */
/* A file of at most 'max' bytes; it may be a secret. */
enum cfx_code sdk_read_file(const heap *heap, const char *path, size_t max,
			    struct bytes *out, struct cfx_error *error) MUST_USE;

/* ---- signatures: signature.c ---- */

struct signer;                       /* a pinned public key */
enum cfx_code signer_new(const heap *heap, const char *public_key_file,
			 struct signer **out, struct cfx_error *error) MUST_USE;
void signer_free(const heap *heap, struct signer **signer);
/* "ed25519; key=<16 hex>; sig=<base64>": what the header says.  False: not so. */
bool signature_parse(const char *text, uint8_t out[SIGNATURE_BYTES]);
/* CFX_E_CORRUPT: nobody signed that; CFX_E_NO_MEMORY. */
enum cfx_code signer_check(const struct signer *signer, const char *key,
			   uint64_t version, const uint8_t sha256[32],
			   const uint8_t signature[SIGNATURE_BYTES],
			   struct cfx_error *error) MUST_USE;
/* What 'server' said of a content that it gave as 'key'. */
struct said {
	const char *server, *key;
	const char *etag, *signature;    /* headers; empty: not there */
	uint64_t version;
};
struct proof {
	uint8_t sha256[32];
	uint8_t signature[SIGNATURE_BYTES];
	bool is_signed;                  /* it looks like one, and is where 'signer' is given */
};
/* Is it what its hash says, and signed by the key that is pinned ('signer' NULL: none)?
 * CFX_E_CORRUPT: no; CFX_E_NO_MEMORY. */
enum cfx_code proof_of(const struct said *said, struct str content,
		       const struct signer *signer, struct proof *out,
		       struct cfx_error *error) MUST_USE;

/* ---- a configuration ---- */

/* Which version is meant. */
struct about {
	uint64_t version;
	uint8_t sha256[32];
	char release[RELEASE_MAX];
};

enum word { WORD_NONE, WORD_RECEIVED, WORD_APPLIED, WORD_REJECTED };

/* The last word to the servers about a configuration. */
struct ack {
	enum word word;
	bool is_due;                     /* to be said, or to be said again */
	bool is_asked;                   /* in the request that is under way */
	bool is_heard;                   /* by one of them */
	struct about about;
	char reason[REASON_MAX];
};

struct config {
	char *key;                       /* "acme/shop/prod/main.json" */
	char *target;                    /* of a fetch */
	struct doc *staged;              /* fetched, not in the picture yet */
	bool is_wanted, is_gone;
	uint64_t want_rev, asked_rev;
	int64_t retry_ms;                /* not before; 0: now */
	bool is_refused;                 /* others do not wait for it */
	unsigned failures;               /* fetches of it, in a row */
	int64_t failing_ms;              /* the first of them; 0: none */
	unsigned absent;                 /* endpoints that said so before it ever came */
	/* Said no to, by the validator or the parser. */
	bool has_rejected;
	uint8_t rejected[32];
	struct cfx_error refusal;        /* why it is not there */
	struct ack ack;
	/* Fetched, and nothing more is known of it yet. */
	bool is_received;
	struct about received;
	int64_t received_ms;             /* then it is said */
	/* By cfx_acknowledge, not taken yet; under the lock. */
	struct {
		bool is_due, is_applied;
		uint64_t version;
		char reason[REASON_MAX];
	} said;
};

struct listener {
	struct listener *next;
	uint64_t id;
	int config;                      /* -1: any */
	bool is_dead;
	cfx_listener *fn;
	void *data;
	char path[];
};

enum watch { WATCH_OFF, WATCH_ASKED, WATCH_LIVE };
enum asking { ASK_NOTHING, ASK_FETCH, ASK_ACK };

struct cfx {
	heap heap;
	struct cfx_options o;            /* texts are of strings */
	char *strings;
	size_t n_strings;
	struct bytes token;
	struct names *names;
	locale_t c_locale;
	uint64_t seed;
	struct shelf shelf;
	struct config *configs;          /* names->n */
	struct signer *signer;
	uint8_t *snapshot_key;           /* NULL: none */
	struct bytes binding;            /* whose snapshot it is */
	char instance[128];

	struct net net;
	struct endpoint *endpoints;
	unsigned n_endpoints, at;
	char *watch_target;

	/* engine.c */
	struct link watch, ask;
	struct events events;
	enum watch watch_state;
	enum asking asking;
	unsigned asked;                  /* which configuration */
	unsigned ask_from;               /* the first that is looked at */
	bool may_poll;                   /* no watch, but fetches */
	bool has_cursor, is_whole;
	bool no_acks;                    /* this server takes none */
	bool acks_alone;                 /* it refused several at once */
	unsigned acks_asked;             /* of the request that is under way */
	uint64_t cursor;
	unsigned failed, round, late;    /* endpoints, in a row; times round */
	int64_t next_try_ms, live_since_ms, lost_ms, staged_ms, commit_ms, ack_ms;
	int64_t token_ms;                /* it was read last */
	struct cfx_error refused;        /* by the cluster: not by one server */
	bool is_dispatching;

	/* commit.c */
	pthread_mutex_t calls;           /* recursive: listeners */
	bool has_calls, is_calling;
	struct listener *listeners;
	uint64_t last_listener;

	/* save.c */
	struct save *save;
	bool save_due, may_save;         /* not before the start is over */
	bool has_saved;                  /* or tried to */
	int64_t save_ms;

	/* cfx.c */
	pthread_mutex_t lock;            /* of status, and of what is said */
	atomic_bool has_said;
	bool has_lock, has_thread;
	pthread_t thread;
	atomic_bool is_stopping;
	struct cfx_status status, told;  /* the engine's; what others see */
};

static inline const struct cfx_view *cfx_now(const struct cfx *cfx)
{
	return atomic_load(&((struct cfx *)cfx)->shelf.now);
}

void cfx_log(struct cfx *cfx, enum cfx_level level, const char *fmt, ...)
	PRINTF(3, 4);
/* It becomes the status's last and is logged. */
void cfx_trouble(struct cfx *cfx, const struct cfx_error *error);

/* ---- engine.c ---- */

void engine_step(struct cfx *cfx);
int64_t engine_due(const struct cfx *cfx);
bool engine_is_complete(const struct cfx *cfx);
void engine_fini(struct cfx *cfx);
/* A time from 'now' on, by full jitter over 'ms'. */
int64_t engine_jitter(int64_t now, int64_t ms);
/* Behind the target of a request: to the headers that each has. */
bool engine_head(struct cfx *cfx, struct bytes *out, const char *accept) MUST_USE;
/* What a problem document says, or the start of what is there. */
void engine_refusal(struct cfx *cfx, const struct link *l, struct cfx_error *error);

/* ---- renew.c ---- */

/* Authorities and the client's certificate are read again: they may have been
 * renewed.  (OpenSSL also marks an authority as bad for good when memory is short while
 * it first looks at it.)  Both links are closed. */
void renew_tls(struct cfx *cfx);
/* Another token in the file?  Then all is asked again. */
bool renew_token(struct cfx *cfx, int64_t now);

/* ---- ack.c ---- */

/* The last word on 'doc'. */
void ack_say(struct cfx *cfx, unsigned at, enum word word, const struct doc *doc,
	     const char *reason);
/* It is here: to be said where no more comes of it in time. */
void ack_received(struct cfx *cfx, unsigned at, const struct doc *doc, int64_t now);
/* Content that was rejected came again: as another version it is too. */
void ack_rejected_before(struct cfx *cfx, unsigned at, const struct doc *doc);
/* The last word is on 'doc', or none was said yet. */
bool ack_is_about(const struct config *c, const struct doc *doc);
/* It is in the picture. */
void ack_accepted(struct cfx *cfx, unsigned at, const struct doc *doc);
/* Takes what the program has said by cfx_acknowledge. */
void ack_take_said(struct cfx *cfx);
/* Words that no server has heard, `received` aside. */
uint64_t ack_unheard(const struct cfx *cfx);
/* A request of all that is due; false: there is none, or no memory. */
bool ack_begin(struct cfx *cfx, struct bytes *out, int64_t now) MUST_USE;
void ack_answered(struct cfx *cfx, int64_t now);
void ack_failed(struct cfx *cfx, bool is_at_once, int64_t now);
/* Another server: it hears everything. */
void ack_connected(struct cfx *cfx);
int64_t ack_due(const struct cfx *cfx);

/* ---- commit.c ---- */

/* Makes all that is staged current.  CFX_E_NO_MEMORY: it stays staged. */
enum cfx_code commit(struct cfx *cfx, const char *source,
		     struct cfx_error *error) MUST_USE;
/* It was told once: to acknowledge, and not to take again. */
void commit_reject(struct cfx *cfx, unsigned at, const struct doc *doc,
		   const char *reason);
void commit_accept(struct cfx *cfx, unsigned at, const struct doc *doc);
void commit_fini(struct cfx *cfx);

/* ---- the snapshot: snapshot.c (bytes), save.c (file) ---- */

/* The address, labels and names that a snapshot belongs to. */
bool snapshot_bind(struct cfx *cfx) MUST_USE;
bool snapshot_encode(const struct cfx *cfx, struct bytes *out,
		     struct cfx_error *error) MUST_USE;
/* Stages what it holds.  CFX_E_CORRUPT, CFX_E_USAGE (another's), CFX_E_NO_MEMORY. */
enum cfx_code snapshot_decode(struct cfx *cfx, struct str in,
			      struct cfx_error *error) MUST_USE;
enum cfx_code snapshot_load(struct cfx *cfx, struct cfx_error *error) MUST_USE;
/* Starts a thread that writes the picture of now, when one is due and none runs. */
void save_step(struct cfx *cfx, int64_t now_ms);
void save_fini(struct cfx *cfx);     /* waits until it is written */

#endif
