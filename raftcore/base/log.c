/*
 * Structured log lines.  The level is read without a lock on every call; the
 * lock below keeps lines of several threads apart and guards the sink.  A line
 * that standard error does not take (closed, full and non-blocking) is lost:
 * logging never stops the program.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#include "base/banned.h"

/* A value longer than this is cut: content does not belong in a log. */
#define VALUE_MAX 4096u

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *const level_tags[] = { "DEBUG", "INFO ", "WARN ", "ERROR" };

static atomic_int least_level = LOG_INFO;
static atomic_int line_format = LOG_HUMAN;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	log_sink *run;
	void *data;
} sink;                         /* guarded by lock */

void log_setup(enum log_level least, enum log_format format)
{
	log_set_level(least);
	atomic_store_explicit(&line_format, (int)format, memory_order_relaxed);
}

void log_set_level(enum log_level least)
{
	must(least <= LOG_ERROR);
	atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
}

bool log_level_parse(struct str s, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (str_eq_nocase(s, str_of(level_names[i]))) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}

bool log_is_on(enum log_level level)
{
	return (int)level >=
	       atomic_load_explicit(&least_level, memory_order_relaxed);
}

void log_set_sink(log_sink *run, void *data)
{
	pthread_mutex_lock(&lock);
	sink.run = run;
	sink.data = data;
	pthread_mutex_unlock(&lock);
}

static struct str bounded(struct str s)
{
	return str_first(s, VALUE_MAX);
}

/* The bytes of the next character where it may stand in a line for people: no
 * control character (C0, DEL, C1), no broken UTF-8.  0: it must be escaped. */
static size_t visible(struct str s)
{
	size_t n = str_utf8_len(s);
	unsigned char c = (unsigned char)s.p[0];

	if (c < ' ' || c == 0x7f)
		return 0;
	if (n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0)
		return 0;
	return n;
}

/* Messages and values may quote what came from outside: neither a line break
 * nor a terminal escape gets through.  'special' are escaped as well. */
static void add_visible(struct buf *line, struct str s, const char *special)
{
	while (s.n) {
		size_t n = visible(s);

		if (n == 0 && s.p[0] == '\n')
			buf_z(line, "\\n");
		else if (n == 0)
			buf_printf(line, "\\x%02x", (unsigned char)s.p[0]);
		else if (strchr(special, s.p[0]))
			buf_printf(line, "\\%c", s.p[0]);
		else
			buf_str(line, str_first(s, n));
		s = str_from(s, MAX(n, (size_t)1));
	}
}

/* A value that a reader (or awk) can tell from its neighbours without quotes,
 * and in which nothing is escaped. */
static bool is_plain(struct str s)
{
	bool plain = s.n > 0;

	while (s.n && plain) {
		size_t n = visible(s);

		plain = n > 0 && !strchr(" \"=\\", s.p[0]);
		s = str_from(s, n);
	}
	return plain;
}

static void human_value(struct buf *line, struct str s)
{
	const char *quote = is_plain(s) ? "" : "\"";

	buf_z(line, quote);
	add_visible(line, s, "\"\\");
	buf_z(line, quote);
}

static void add_value(struct buf *line, const struct log_kv *kv,
		      void (*add_str)(struct buf *line, struct str s))
{
	switch (kv->type) {
	case LOG_KV_U64:
		buf_u64(line, kv->u);
		break;
	case LOG_KV_I64:
		buf_i64(line, (int64_t)kv->u);
		break;
	case LOG_KV_STR:
		add_str(line, bounded(kv->s));
		break;
	}
}

static void human_line(struct buf *line, const char *ts, enum log_level level,
		       const char *part, struct str msg, size_t n_kv,
		       const struct log_kv *kv)
{
	buf_printf(line, "%s %s %s ", ts, level_tags[level], part);
	add_visible(line, msg, "");
	for (size_t i = 0; i < n_kv; i++) {
		buf_printf(line, " %s=", kv[i].key);
		add_value(line, &kv[i], human_value);
	}
}

static void json_line(struct buf *line, const char *ts, enum log_level level,
		      const char *part, struct str msg, size_t n_kv,
		      const struct log_kv *kv)
{
	buf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"part\":", ts,
		   level_names[level]);
	buf_json(line, str_of(part));
	buf_z(line, ",\"msg\":");
	buf_json(line, msg);
	for (size_t i = 0; i < n_kv; i++) {
		buf_c(line, ',');
		buf_json(line, str_of(kv[i].key));
		buf_c(line, ':');
		add_value(line, &kv[i], buf_json);
	}
	buf_c(line, '}');
}

static void write_line(struct str line)
{
	while (line.n) {
		ssize_t n = write(STDERR_FILENO, line.p, line.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		line = str_from(line, (size_t)n);
	}
}

/* The sink runs outside the lock, so that it may log or be replaced. */
static void send_line(enum log_level level, struct buf *line)
{
	log_sink *run;
	void *data;

	pthread_mutex_lock(&lock);
	run = sink.run;
	data = sink.data;
	if (!run) {
		buf_c(line, '\n');
		write_line(buf_view(line));
	}
	pthread_mutex_unlock(&lock);
	if (run)
		run(data, level, buf_view(line));
}

void log_write(enum log_level level, const char *part, size_t n_kv,
	       const struct log_kv *kv, const char *fmt, ...)
{
	int format = atomic_load_explicit(&line_format, memory_order_relaxed);
	int saved_errno = errno;
	AUTO_BUF line = BUF_NONE;
	AUTO_BUF msg = BUF_NONE;
	char ts[RFC3339_MAX];
	va_list ap;

	must(level <= LOG_ERROR);
	va_start(ap, fmt);
	buf_vprintf(&msg, fmt, ap);
	va_end(ap);
	clock_rfc3339(ts, clock_wall_ms(), true);
	(format == LOG_JSON ? json_line : human_line)(
		&line, ts, level, part, bounded(buf_view(&msg)), n_kv, kv);
	send_line(level, &line);
	errno = saved_errno;
}
