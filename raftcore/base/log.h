/*
 * Structured logging to stderr: one line an event, human or JSON.
 *
 *	log_info("http", LOG_KV(log_s("addr", addr), log_u("port", port)),
 *		 "listening");
 *
 * Only the part that decides what to do about an error logs it, once.
 * Secrets are of type struct secret, which no function here accepts.
 * Any thread; a line is written with one write(2).  Values are quoted where
 * they need it, control characters never reach the terminal, and a message or
 * value is cut after 4 KiB.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_HUMAN, LOG_JSON };

struct log_kv {
	const char *key;
	enum { LOG_KV_STR, LOG_KV_U64, LOG_KV_I64 } type;
	struct str s;
	uint64_t u;
};

static inline struct log_kv log_s(const char *key, struct str s)
{
	return (struct log_kv){ key, LOG_KV_STR, s, 0 };
}
static inline struct log_kv log_z(const char *key, const char *z)
{
	return (struct log_kv){ key, LOG_KV_STR, str_of(z), 0 };
}
static inline struct log_kv log_u(const char *key, uint64_t u)
{
	return (struct log_kv){ key, LOG_KV_U64, STR_NONE, u };
}
static inline struct log_kv log_i(const char *key, int64_t i)
{
	return (struct log_kv){ key, LOG_KV_I64, STR_NONE, (uint64_t)i };
}

void log_setup(enum log_level least, enum log_format format);
void log_set_level(enum log_level least);
bool log_level_parse(struct str s, enum log_level *out);
bool log_is_on(enum log_level level);
/* Sends lines (without the line break) elsewhere: tests, simulator; NULL is
 * stderr again.  The sink runs on the thread that logs, without a lock. */
typedef void log_sink(void *data, enum log_level level, struct str line);
void log_set_sink(log_sink *sink, void *data);

void log_write(enum log_level level, const char *part, size_t n_kv,
	       const struct log_kv *kv, const char *fmt, ...) PRINTF(5, 6);

#define LOG_KV(...)                                                     \
	(sizeof((struct log_kv[]){ __VA_ARGS__ }) / sizeof(struct log_kv)), \
		(const struct log_kv[]){ __VA_ARGS__ }
#define LOG_NO_KV 0, NULL

/* log_info("part", LOG_KV(...) or LOG_NO_KV, "text %d", n) */
#define log_at(level, part, ...)                                  \
	do {                                                       \
		if (log_is_on(level))                              \
			log_write((level), (part), __VA_ARGS__);   \
	} while (0)
#define log_debug(part, ...) log_at(LOG_DEBUG, part, __VA_ARGS__)
#define log_info(part, ...) log_at(LOG_INFO, part, __VA_ARGS__)
#define log_warn(part, ...) log_at(LOG_WARN, part, __VA_ARGS__)
#define log_error(part, ...) log_at(LOG_ERROR, part, __VA_ARGS__)

#endif
