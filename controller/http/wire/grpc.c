/* gRPC: see grpc.h. */
#include "http/wire/grpc.h"

#include "base/banned.h"

const char *grpc_status_name(int status)
{
	static const char *const names[GRPC__STATUSES] = {
		"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT",
		"DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
		"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
		"ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
		"UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
	};

	return status >= 0 && status < GRPC__STATUSES ? names[status] : names[2];
}

/* ---- messages ---- */

void grpc_reader_init(struct grpc_reader *rd, size_t max)
{
	*rd = (struct grpc_reader){ .max = max };
}

void grpc_reader_fini(struct grpc_reader *rd)
{
	buf_fini(&rd->message);
}

static uint32_t length_of(const struct grpc_reader *rd)
{
	return (uint32_t)rd->head_[1] << 24 | (uint32_t)rd->head_[2] << 16 |
	       (uint32_t)rd->head_[3] << 8 | rd->head_[4];
}

static enum code check_head(const struct grpc_reader *rd, struct err *err)
{
	if (rd->head_[0] == 1)
		return err_set(err, E_UNSUPPORTED, "compressed messages are not "
			       "supported");
	if (rd->head_[0])
		return err_set(err, E_INVALID, "a frame begins with 0 or 1, not "
			       "with %u", rd->head_[0]);
	if (length_of(rd) > rd->max)
		return err_set(err, E_TOO_LARGE, "a message of %u bytes; at most "
			       "%zu are taken", length_of(rd), rd->max);
	return OK;
}

static void take_head(struct grpc_reader *rd, struct str *in)
{
	size_t n = MIN((size_t)(GRPC_HEAD - rd->n_head_), in->n);

	memcpy(rd->head_ + rd->n_head_, in->p, n);
	rd->n_head_ += (uint8_t)n;
	*in = str_from(*in, n);
}

enum code grpc_read(struct grpc_reader *rd, struct str *in, bool *whole,
		    struct err *err)
{
	size_t n;

	*whole = false;
	if (rd->is_whole_) {
		rd->is_whole_ = false;
		rd->n_head_ = 0;
		buf_reset(&rd->message);
	}
	if (in->n && rd->n_head_ < GRPC_HEAD) {
		take_head(rd, in);
		if (rd->n_head_ == GRPC_HEAD && check_head(rd, err))
			return err->code;
	}
	if (rd->n_head_ < GRPC_HEAD)
		return OK;
	n = MIN(length_of(rd) - rd->message.n, in->n);
	buf_str(&rd->message, str_first(*in, n));
	*in = str_from(*in, n);
	*whole = rd->is_whole_ = rd->message.n == length_of(rd);
	return OK;
}

bool grpc_reader_is_between(const struct grpc_reader *rd)
{
	return rd->is_whole_ || rd->n_head_ == 0;
}

void grpc_frame_head(char head[GRPC_HEAD], uint32_t n)
{
	head[0] = 0;
	for (int i = 1; i < GRPC_HEAD; i++)
		head[i] = (char)(n >> 8 * (GRPC_HEAD - 1 - i));
}

/* ---- header fields ---- */

bool grpc_timeout_parse(struct str text, uint64_t *ms)
{
	uint64_t n;

	if (text.n < 2 || text.n > 9 || text.p[0] == '+' ||
	    !str_u64(str_first(text, text.n - 1), &n))
		return false;
	switch (text.p[text.n - 1]) {
	case 'H':
		*ms = n * 3600000;
		return true;
	case 'M':
		*ms = n * 60000;
		return true;
	case 'S':
		*ms = n * 1000;
		return true;
	case 'm':
		*ms = n;
		return true;
	case 'u':
		*ms = (n + 999) / 1000;
		return true;
	case 'n':
		*ms = (n + 999999) / 1000000;
		return true;
	default:
		return false;
	}
}

void grpc_message_encode(struct buf *out, struct str text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c >= 0x20 && c <= 0x7e && c != '%') {
			buf_c(out, (char)c);
			continue;
		}
		buf_c(out, '%');
		buf_c(out, digits[c >> 4]);
		buf_c(out, digits[c & 15]);
	}
}
