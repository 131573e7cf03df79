#include "identity/exe_hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/blake3.h"
#include "base/clock.h"

enum { REMEMBERED = 64, ATTEMPTS = 4, BUFFER_SIZE = 128 * 1024 };

struct remembered {
	struct stat stat; /* of which same_file() looks at */
	struct belay__exe_hash hash;
};

struct belay_hashes {
	size_t count, oldest;
	struct remembered file[REMEMBERED];
};

/* What one pass needs; too much for a stack. */
struct pass {
	EVP_MD_CTX *sha256;
	struct belay__blake3 blake3;
	uint8_t buffer[BUFFER_SIZE];
};

int belay_hashes_new(struct belay_hashes **ret_hashes)
{
	struct belay_hashes *hashes = calloc(1, sizeof(*hashes));

	if (hashes == NULL)
		return -ENOMEM;
	*ret_hashes = hashes;
	return 0;
}

struct belay_hashes *belay_hashes_free(struct belay_hashes *hashes)
{
	free(hashes);
	return NULL;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

bool belay__hashes_find(const struct belay_hashes *hashes, const struct stat *stat, unsigned kinds,
	struct belay__exe_hash *ret_hash)
{
	for (size_t i = 0; hashes != NULL && i < hashes->count; i++) {
		const struct remembered *file = &hashes->file[i];

		if ((file->hash.kinds & kinds) == kinds && same_file(&file->stat, stat)) {
			*ret_hash = file->hash;
			return true;
		}
	}
	return false;
}

/* Times of files have ticks, too: a change right after the last one could leave them as they are, so
 * the last one must have been some time before NOW_NS, when the reading began. */
static bool changed_just_before(const struct stat *stat, uint64_t now_ns)
{
	uint64_t changed_ns = (uint64_t)stat->st_ctim.tv_sec * BELAY__NS_PER_S +
		(uint64_t)stat->st_ctim.tv_nsec;

	return stat->st_ctim.tv_sec < 0 || changed_ns > now_ns ||
		now_ns - changed_ns < BELAY__NS_PER_S;
}

/* Where to keep what FILE hashes to: in the place of what was known of it, else of the oldest. */
static struct remembered *place_for(struct belay_hashes *hashes, const struct stat *stat)
{
	struct remembered *oldest;

	for (size_t i = 0; i < hashes->count; i++)
		if (hashes->file[i].stat.st_dev == stat->st_dev &&
			hashes->file[i].stat.st_ino == stat->st_ino)
			return &hashes->file[i];
	if (hashes->count < REMEMBERED)
		return &hashes->file[hashes->count++];
	oldest = &hashes->file[hashes->oldest];
	hashes->oldest = (hashes->oldest + 1) % REMEMBERED;
	return oldest;
}

/* Adds the hashes that OTHER knows and HASH does not; both are of one file. */
static void merge(struct belay__exe_hash *hash, const struct belay__exe_hash *other)
{
	unsigned more = other->kinds & ~hash->kinds;

	if ((more & BELAY__HASH_BLAKE3) != 0)
		memcpy(hash->blake3, other->blake3, sizeof(hash->blake3));
	if ((more & BELAY__HASH_SHA256) != 0)
		memcpy(hash->sha256, other->sha256, sizeof(hash->sha256));
	hash->kinds |= more;
}

static void remember(struct belay_hashes *hashes, const struct stat *stat, uint64_t read_at_ns,
	const struct belay__exe_hash *hash)
{
	struct belay__exe_hash now = *hash;
	struct remembered *place;

	if (hashes == NULL || changed_just_before(stat, read_at_ns))
		return;
	place = place_for(hashes, stat);
	if (same_file(&place->stat, stat))
		merge(&now, &place->hash);
	place->stat = *stat;
	place->hash = now;
}

static int start(struct pass *pass, unsigned kinds)
{
	belay__blake3_start(&pass->blake3);
	if ((kinds & BELAY__HASH_SHA256) == 0)
		return 0;
	if (pass->sha256 == NULL)
		pass->sha256 = EVP_MD_CTX_new();
	return pass->sha256 != NULL && EVP_DigestInit_ex(pass->sha256, EVP_sha256(), NULL) == 1
		? 0
		: -ENOMEM;
}

static int add(struct pass *pass, unsigned kinds, size_t len)
{
	if ((kinds & BELAY__HASH_BLAKE3) != 0)
		belay__blake3_add(&pass->blake3, pass->buffer, len);
	if ((kinds & BELAY__HASH_SHA256) != 0 &&
		EVP_DigestUpdate(pass->sha256, pass->buffer, len) != 1)
		return -EIO;
	return 0;
}

static int end(struct pass *pass, unsigned kinds, struct belay__exe_hash *ret_hash)
{
	struct belay__exe_hash hash = { .kinds = kinds };

	if ((kinds & BELAY__HASH_BLAKE3) != 0)
		belay__blake3_end(&pass->blake3, hash.blake3);
	if ((kinds & BELAY__HASH_SHA256) != 0 &&
		EVP_DigestFinal_ex(pass->sha256, hash.sha256, NULL) != 1)
		return -EIO;
	*ret_hash = hash;
	return 0;
}

/* Whoever runs the executable may have made it as large as he likes, and slow to read. */
static int may_go_on(off_t at, uint64_t deadline_ns)
{
	if (at > BELAY_EXE_MAX)
		return -EFBIG;
	if (deadline_ns != UINT64_MAX && belay__clock_ns(CLOCK_MONOTONIC) >= deadline_ns)
		return -ETIMEDOUT;
	return 0;
}

static int read_through(int fd, unsigned kinds, uint64_t deadline_ns, struct pass *pass,
	struct belay__exe_hash *ret_hash)
{
	off_t at = 0;
	int r = start(pass, kinds);

	while (r == 0) {
		ssize_t n;

		r = may_go_on(at, deadline_ns);
		if (r < 0)
			return r;
		n = pread(fd, pass->buffer, sizeof(pass->buffer), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return end(pass, kinds, ret_hash);
		r = add(pass, kinds, (size_t)n);
		at += n;
	}
	return r;
}

/* The file that was read, and when the reading began. */
struct reading {
	struct stat stat;
	uint64_t began_ns; /* CLOCK_REALTIME, as the times of files are */
};

static int read_unchanged(int fd, unsigned kinds, uint64_t deadline_ns, struct pass *pass,
	struct reading *ret_reading, struct belay__exe_hash *ret_hash)
{
	struct stat before, after;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		uint64_t began_ns = belay__clock_ns(CLOCK_REALTIME);
		int r;

		if (fstat(fd, &before) < 0)
			return -errno;
		if (!S_ISREG(before.st_mode))
			return -EINVAL;
		if (before.st_size > BELAY_EXE_MAX)
			return -EFBIG;
		r = read_through(fd, kinds, deadline_ns, pass, ret_hash);
		if (r < 0)
			return r;
		if (fstat(fd, &after) < 0)
			return -errno;
		if (same_file(&before, &after)) {
			*ret_reading = (struct reading){ after, began_ns };
			return 0;
		}
	}
	return -EBUSY;
}

int belay__exe_hash(int fd, unsigned kinds, struct belay_hashes *hashes, uint64_t deadline_ns,
	struct belay__exe_hash *ret_hash)
{
	struct belay__exe_hash hash;
	struct reading reading = { .began_ns = 0 };
	struct pass *pass;
	struct stat stat;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (belay__hashes_find(hashes, &stat, kinds, ret_hash))
		return 0;
	pass = malloc(sizeof(*pass));
	if (pass == NULL)
		return -ENOMEM;
	pass->sha256 = NULL;
	r = read_unchanged(fd, kinds, deadline_ns, pass, &reading, &hash);
	EVP_MD_CTX_free(pass->sha256);
	free(pass);
	if (r < 0)
		return r;
	remember(hashes, &reading.stat, reading.began_ns, &hash);
	*ret_hash = hash;
	return 0;
}
