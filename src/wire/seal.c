#include "wire/seal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sodium.h>

#include "wire/bytes.h"

#define COUNTER_AT    BELAY__PREFIX_LEN
#define CIPHERTEXT_AT (BELAY__PREFIX_LEN + 4)
#define TAG_AT        (CIPHERTEXT_AT + BELAY_FRAME_LEN)
#define PID_LEN       4

static_assert(BELAY__KEY_LEN == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "a key is the cipher's");
static_assert(CIPHERTEXT_AT == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "a nonce is sent whole");
static_assert(TAG_AT + crypto_aead_chacha20poly1305_ietf_ABYTES == BELAY__SEALED_LEN, "60 bytes");
static_assert(PID_LEN + BELAY__SEALED_LEN == BELAY__SEALED_MASTER_LEN, "64 bytes");

/* What a derivation is for: a label, whose NUL counts, and numbers. 18 + 4 + 8 + 4 is the longest. */
struct info {
	uint8_t bytes[40];
	size_t len;
};

/* Without entropy libsodium's start is the end of the process, so it is asked for first: past the C
 * library, which may have some in store, as libsodium does. */
static int find_entropy(void)
{
	uint8_t byte;

	while (syscall(SYS_getrandom, &byte, sizeof(byte), 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int belay__seal_init(void)
{
	int r = find_entropy();

	if (r < 0)
		return r;
	return sodium_init() < 0 ? -ENOTSUP : 0;
}

/* Every kernel that this runs on has getrandom(2), so /dev/urandom is not tried; that would need a
 * descriptor and a file system. */
int belay__seal_salt(uint8_t salt[static BELAY__SALT_LEN])
{
	size_t have = 0;

	while (have < BELAY__SALT_LEN) {
		ssize_t n = getrandom(salt + have, BELAY__SALT_LEN - have, 0);

		if (n > 0)
			have += (size_t)n;
		else if (n == 0)
			return -EIO;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static void hmac(const uint8_t *key, size_t key_len, const uint8_t *text, size_t text_len,
	uint8_t out[static crypto_auth_hmacsha256_BYTES])
{
	crypto_auth_hmacsha256_state state;

	(void)crypto_auth_hmacsha256_init(&state, key, key_len);
	(void)crypto_auth_hmacsha256_update(&state, text, text_len);
	(void)crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

/* HKDF-SHA256 (RFC 5869) with an empty salt. One block is as much as any of our derivations takes, so
 * that the block's number, 1, is a constant behind the info. */
static void derive(const uint8_t *secret, size_t secret_len, struct info *info, uint8_t *out,
	size_t out_len)
{
	static const uint8_t no_salt[crypto_auth_hmacsha256_BYTES];
	uint8_t extracted[crypto_auth_hmacsha256_BYTES];
	uint8_t block[crypto_auth_hmacsha256_BYTES];

	assert(info->len < sizeof(info->bytes));
	assert(out_len <= sizeof(block));

	info->bytes[info->len++] = 1;
	hmac(no_salt, sizeof(no_salt), secret, secret_len, extracted);
	hmac(extracted, sizeof(extracted), info->bytes, info->len, block);
	memcpy(out, block, out_len);
	sodium_memzero(extracted, sizeof(extracted));
	sodium_memzero(block, sizeof(block));
}

static struct info info_of(const char *label)
{
	struct info info = { .len = strlen(label) + 1 };

	assert(info.len <= sizeof(info.bytes));
	memcpy(info.bytes, label, info.len);
	return info;
}

static void add_le32(struct info *info, uint32_t value)
{
	assert(info->len + 4 <= sizeof(info->bytes));
	belay__put_le32(info->bytes + info->len, value);
	info->len += 4;
}

static void add_le64(struct info *info, uint64_t value)
{
	assert(info->len + 8 <= sizeof(info->bytes));
	belay__put_le64(info->bytes + info->len, value);
	info->len += 8;
}

void belay__derive_agent_key(const uint8_t master[static BELAY__KEY_LEN], uint32_t pid,
	uint8_t out[static BELAY__KEY_LEN])
{
	struct info info = info_of("varta-agent-v1");

	add_le32(&info, pid);
	derive(master, BELAY__KEY_LEN, &info, out, BELAY__KEY_LEN);
}

void belay__derive_epoch_key(const uint8_t agent[static BELAY__KEY_LEN], uint64_t epoch,
	uint8_t out[static BELAY__KEY_LEN])
{
	struct info info = info_of("varta-epoch-v1");

	add_le64(&info, epoch);
	derive(agent, BELAY__KEY_LEN, &info, out, BELAY__KEY_LEN);
}

void belay__derive_prefix(const uint8_t salt[static BELAY__SALT_LEN], uint32_t index,
	uint8_t out[static BELAY__PREFIX_LEN])
{
	struct info info = info_of("varta-iv-prefix-v1");

	add_le32(&info, index);
	derive(salt, BELAY__SALT_LEN, &info, out, BELAY__PREFIX_LEN);
}

void belay__derive_panic_prefix(const uint8_t salt[static BELAY__SALT_LEN], uint32_t pid,
	uint64_t timestamp_ns, uint32_t counter, uint8_t out[static BELAY__PREFIX_LEN])
{
	struct info info = info_of("varta-panic-iv-v1");

	add_le32(&info, pid);
	add_le64(&info, timestamp_ns);
	add_le32(&info, counter);
	derive(salt, BELAY__SALT_LEN, &info, out, BELAY__PREFIX_LEN);
}

/* The nonce is the first bytes of what is sent, so that nothing has to be put together twice. */
static void seal(const uint8_t key[static BELAY__KEY_LEN],
	const uint8_t prefix[static BELAY__PREFIX_LEN], uint32_t counter, const uint8_t *aad,
	size_t aad_len, const uint8_t frame[static BELAY_FRAME_LEN],
	uint8_t out[static BELAY__SEALED_LEN])
{
	memcpy(out, prefix, BELAY__PREFIX_LEN);
	belay__put_le32(out + COUNTER_AT, counter);
	(void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(out + CIPHERTEXT_AT, out + TAG_AT,
		NULL, frame, BELAY_FRAME_LEN, aad, aad_len, NULL, out, key);
}

void belay__seal(const uint8_t key[static BELAY__KEY_LEN],
	const uint8_t prefix[static BELAY__PREFIX_LEN], uint32_t counter,
	const uint8_t frame[static BELAY_FRAME_LEN], uint8_t out[static BELAY__SEALED_LEN])
{
	seal(key, prefix, counter, NULL, 0, frame, out);
}

void belay__seal_for_pid(const uint8_t key[static BELAY__KEY_LEN], uint32_t pid,
	const uint8_t prefix[static BELAY__PREFIX_LEN], uint32_t counter,
	const uint8_t frame[static BELAY_FRAME_LEN], uint8_t out[static BELAY__SEALED_MASTER_LEN])
{
	belay__put_le32(out, pid);
	seal(key, prefix, counter, out, PID_LEN, frame, out + PID_LEN);
}

bool belay__unseal(const uint8_t key[static BELAY__KEY_LEN],
	const uint8_t sealed[static BELAY__SEALED_LEN], const uint8_t *aad, unsigned aad_len,
	uint8_t ret_frame[static BELAY_FRAME_LEN])
{
	/* libsodium clears its output when the tag is wrong; ours stays as it was. */
	uint8_t frame[BELAY_FRAME_LEN];

	if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(frame, NULL, sealed + CIPHERTEXT_AT,
		    BELAY_FRAME_LEN, sealed + TAG_AT, aad, aad_len, sealed, key) != 0)
		return false;

	memcpy(ret_frame, frame, sizeof(frame));
	return true;
}
