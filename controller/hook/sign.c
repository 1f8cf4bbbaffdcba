/* Signatures: see sign.h. */
#include "hook/sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/banned.h"

#define PREFIX STR("sha256=")
#define SIGNATURES_MAX 4

static struct sha256 mac_of(const uint8_t key[HOOK_KEY_BYTES],
			    const struct hook_signed *what)
{
	AUTO_BUF text = BUF_NONE;
	struct sha256 mac;
	unsigned n = sizeof(mac.b);

	buf_str(&text, what->id);
	buf_c(&text, '.');
	buf_str(&text, what->timestamp);
	buf_c(&text, '.');
	buf_str(&text, what->body);
	must(HMAC(EVP_sha256(), key, HOOK_KEY_BYTES,
		  (const unsigned char *)text.p, text.n, mac.b, &n));
	return mac;
}

static void put(struct buf *out, const uint8_t key[HOOK_KEY_BYTES],
		const struct hook_signed *what)
{
	struct sha256 mac = mac_of(key, what);

	buf_str(out, PREFIX);
	buf_hex(out, mac.b, sizeof(mac.b));
}

void hook_sign(struct buf *out, const struct hook_key_row *key, uint64_t now_ms,
	       const struct hook_signed *what)
{
	put(out, key->key, what);
	if (now_ms >= key->before_until_ms)
		return;
	buf_z(out, ", ");
	put(out, key->before, what);
}

static bool is_of(struct str hex, const uint8_t key[HOOK_KEY_BYTES],
		  const struct hook_signed *what)
{
	struct sha256 mac = mac_of(key, what);
	char want[65];

	sha256_hex(want, &mac);
	return hex.n == 64 && CRYPTO_memcmp(hex.p, want, 64) == 0;
}

bool hook_is_signed(struct str signature, const struct hook_key_row *key,
		    uint64_t now_ms, const struct hook_signed *what)
{
	bool good = false;

	for (unsigned i = 0; signature.n && i < SIGNATURES_MAX; i++) {
		struct str one = str_trim(str_cut(&signature, ','));

		if (!str_starts(one, PREFIX))
			continue;
		one = str_from(one, PREFIX.n);
		good |= is_of(one, key->key, what);
		if (now_ms < key->before_until_ms)
			good |= is_of(one, key->before, what);
	}
	return good;
}

enum code hook_time_is_near(struct str timestamp, uint64_t now_ms,
			    struct err *err)
{
	uint64_t at;

	if (!str_u64(timestamp, &at) || timestamp.n > 12)
		return err_set(err, E_INVALID, HOOK_TIME_HEADER " is the time in "
			       "seconds since 1970");
	at *= 1000;
	if (at + HOOK_SKEW_MS >= now_ms && at <= now_ms + HOOK_SKEW_MS)
		return OK;
	err_set(err, E_UNAUTHORIZED, HOOK_TIME_HEADER " is more than %d s from this "
		"server's clock", HOOK_SKEW_MS / 1000);
	return err_hint(err, "sign it anew when it is sent again");
}

void hook_headers(struct buf *out, const struct hook_key_row *key,
		  uint64_t now_ms, struct str id, struct str body)
{
	AUTO_BUF timestamp = BUF_NONE;
	struct hook_signed what = { .id = id, .body = body };

	buf_u64(&timestamp, now_ms / 1000);
	what.timestamp = buf_view(&timestamp);
	buf_printf(out, HOOK_ID_HEADER ": %.*s\n" HOOK_TIME_HEADER ": %.*s\n"
		   HOOK_SIGNATURE_HEADER ": ", STR_ARG(id),
		   STR_ARG(what.timestamp));
	hook_sign(out, key, now_ms, &what);
	buf_c(out, '\n');
}
