/* Structured logging: see log.h. */
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#include "base/banned.h"

static _Atomic int least_level = LOG_INFO;
static _Atomic int line_format = LOG_HUMAN;
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static log_sink *sink_cb;
static void *sink_data;

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *const level_human[] = { "DEBUG", "INFO ", "WARN ", "ERROR" };

void log_setup(enum log_level least, enum log_format format)
{
	least_level = least;
	line_format = format;
}

void log_set_level(enum log_level least)
{
	least_level = least;
}

bool log_level_parse(struct str s, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (str_eq(s, str_of(level_names[i]))) {
			*out = (enum log_level)i;
			return true;
		}
	return false;
}

bool log_is_on(enum log_level level)
{
	return (int)level >= least_level;
}

void log_set_sink(log_sink *sink, void *data)
{
	pthread_mutex_lock(&sink_lock);
	sink_cb = sink;
	sink_data = data;
	pthread_mutex_unlock(&sink_lock);
}

static bool needs_quotes(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '"' ||
		    s.p[i] == '=' || s.p[i] == 0x7f)
			return true;
	return s.n == 0;
}

static void add_value(struct buf *b, const struct log_kv *kv, bool json)
{
	switch (kv->type) {
	case LOG_KV_U64:
		buf_u64(b, kv->u);
		break;
	case LOG_KV_I64:
		buf_i64(b, (int64_t)kv->u);
		break;
	case LOG_KV_STR:
		if (json || needs_quotes(kv->s))
			buf_json(b, kv->s);
		else
			buf_str(b, kv->s);
	}
}

static void human_line(struct buf *b, enum log_level level, const char *part,
		       const char *ts, struct str text, size_t n,
		       const struct log_kv *kv)
{
	buf_printf(b, "%s %s %-6s ", ts, level_human[level], part);
	for (size_t i = 0; i < text.n; i++)
		buf_c(b, (unsigned char)text.p[i] < ' ' ? ' ' : text.p[i]);
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, " %s=", kv[i].key);
		add_value(b, &kv[i], false);
	}
}

static void json_line(struct buf *b, enum log_level level, const char *part,
		      const char *ts, struct str text, size_t n,
		      const struct log_kv *kv)
{
	buf_printf(b, "{\"ts\":\"%s\",\"level\":\"%s\",\"part\":\"%s\",\"msg\":",
		   ts, level_names[level], part);
	buf_json(b, text);
	for (size_t i = 0; i < n; i++) {
		buf_c(b, ',');
		buf_json(b, str_of(kv[i].key));
		buf_c(b, ':');
		add_value(b, &kv[i], true);
	}
	buf_c(b, '}');
}

/* A line that cannot be written is lost: there is nobody left to tell. */
static void emit(enum log_level level, struct buf *line)
{
	log_sink *cb;

	pthread_mutex_lock(&sink_lock);
	cb = sink_cb;
	if (cb)
		cb(sink_data, level, buf_view(line));
	pthread_mutex_unlock(&sink_lock);
	if (cb)
		return;
	buf_c(line, '\n');
	if (write(STDERR_FILENO, line->p, line->n) < 0)
		return;
}

void log_write(enum log_level level, const char *part, size_t n_kv,
	       const struct log_kv *kv, const char *fmt, ...)
{
	AUTO_BUF text = BUF_NONE;
	AUTO_BUF line = BUF_NONE;
	char ts[RFC3339_MAX];
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	clock_rfc3339(ts, clock_wall_ms(), true);
	if (line_format == LOG_JSON)
		json_line(&line, level, part, ts, buf_view(&text), n_kv, kv);
	else
		human_line(&line, level, part, ts, buf_view(&text), n_kv, kv);
	emit(level, &line);
}
