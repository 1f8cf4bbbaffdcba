/* Small words of libconflux: see own.h. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/sdk/own.h"

#include "base/banned.h"

int64_t sdk_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void sdk_wake(int fd)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

int sdk_thread(void *(*run)(void *), void *data, pthread_t *out)
{
	sigset_t all, was;
	pthread_t thread;
	int no;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	no = pthread_create(out ? out : &thread, NULL, run, data);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (no == 0 && !out)
		pthread_detach(thread);
	return no;
}

/* ---- texts ---- */

bool sdk_cut(struct str *rest, char sep, struct str *one)
{
	const char *end;

	if (!rest->p || (rest->n == 0 && rest->p[0] == '\0'))
		return false;
	end = memchr(rest->p, sep, rest->n);
	*one = str_n(rest->p, end ? (size_t)(end - rest->p) : rest->n);
	*rest = end ? sdk_from(*rest, one->n + 1) : STR_NONE;
	if (end && rest->n == 0)
		*rest = STR_NONE;        /* a comma at the end */
	while (one->n && one->p[0] == ' ')
		*one = sdk_from(*one, 1);
	while (one->n && one->p[one->n - 1] == ' ')
		one->n--;
	return true;
}

bool sdk_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

struct str sdk_from(struct str s, size_t at)
{
	at = MIN(at, s.n);
	return str_n(s.p + at, s.n - at);
}

bool sdk_u64(struct str s, uint64_t *out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(s.p[i] - '0');

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return s.n > 0;
}

void sdk_hex(char *out, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	       c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool sdk_unhex(struct str s, uint8_t *out, size_t n)
{
	if (s.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = digit_of(s.p[2 * i]), low = digit_of(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool is_unreserved(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (c && strchr("-._~", c));
}

bool sdk_escape(const heap *heap, struct bytes *out, struct str s, bool slash)
{
	bool good = true;

	for (size_t i = 0; i < s.n && good; i++)
		if (is_unreserved(s.p[i]) || (slash && s.p[i] == '/'))
			good = bytes_add(heap, out, str_n(s.p + i, 1));
		else
			good = bytes_printf(heap, out, "%%%02X",
					    (unsigned char)s.p[i]);
	return good;
}

static bool is_plain(char c)
{
	return (unsigned char)c >= ' ' && c != 0x7f && c != '"' && c != '\\';
}

bool sdk_json(const heap *heap, struct bytes *out, struct str s)
{
	bool good = bytes_add(heap, out, STR("\""));

	for (size_t i = 0, n; i < s.n && good; i += n) {
		for (n = 0; i + n < s.n && is_plain(s.p[i + n]); n++)
			;
		good = bytes_add(heap, out, str_n(s.p + i, n));
		if (!good || n)
			continue;
		n = 1;
		good = s.p[i] == '"' || s.p[i] == '\\' ?
			bytes_printf(heap, out, "\\%c", s.p[i]) :
			bytes_printf(heap, out, "\\u%04x", (unsigned char)s.p[i]);
	}
	return good && bytes_add(heap, out, STR("\""));
}

uint64_t sdk_random(void)
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), GRND_NONBLOCK) == (ssize_t)sizeof(n))
		return n;
	return (uint64_t)sdk_now_ms() * 0x9e3779b97f4a7c15u ^ (uintptr_t)&n ^
	       (uint64_t)getpid() << 32;
}

bool sdk_sha256(struct str s, uint8_t out[32])
{
	return EVP_Digest(s.p ? s.p : "", s.n, out, NULL, EVP_sha256(), NULL) == 1;
}

/* ---- files ---- */

static enum cfx_code file_failed(const char *path, struct cfx_error *error)
{
	int no = errno;

	return cfx_fail(error, no == ENOENT ? CFX_E_NOT_FOUND : CFX_E_IO,
			"%s: %s", path, strerrordesc_np(no));
}

static enum cfx_code read_all(const heap *heap, int fd, const char *path,
			      size_t max, struct bytes *out,
			      struct cfx_error *error)
{
	ssize_t n;

	do {
		if (!bytes_room(heap, out, 4096))
			return cfx_no_memory(error);
		n = read(fd, out->p + out->n, out->cap - out->n);
		if (n < 0 && errno != EINTR)
			return file_failed(path, error);
		if (n > 0)
			out->n += (size_t)n;
		if (out->n > max)
			return cfx_fail(error, CFX_E_TOO_LARGE, "%s: more than "
					"%zu bytes", path, max);
	} while (n);
	return CFX_OK;
}

enum cfx_code sdk_read_file(const heap *heap, const char *path, size_t max,
			    struct bytes *out, struct cfx_error *error)
{
	struct bytes all = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	enum cfx_code rc;

	if (fd < 0)
		return file_failed(path, error);
	rc = read_all(heap, fd, path, max, &all, error);
	close(fd);
	if (rc) {
		heap_wipe(heap, all.p, all.cap);
		return rc;
	}
	*out = all;
	return CFX_OK;
}
