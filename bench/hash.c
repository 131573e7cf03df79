/* hash.c - hashing an executable, beside reading it and EVP alone
 *
 * They take turns on one file in the page cache: read(2) in pieces and EVP's SHA-256;
 * belay__exe_hash() for SHA-256, for BLAKE3, for both. The least of each counts. Prints one line of
 * JSON. With "count" it asks for both of a file that is remembered already, ROUNDS times, and does
 * nothing else, for strace.
 *
 * Usage: bench-hash FILE [ROUNDS]
 *        bench-hash count FILE ROUNDS
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "identity/exe_hash.h"

enum { ROUNDS = 5, PIECE = 131072 };

static uint64_t floor_ns(int fd)
{
	static uint8_t piece[PIECE];
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	ssize_t n;

	if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1 ||
		lseek(fd, 0, SEEK_SET) < 0)
		die("EVP");
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		(void)EVP_DigestUpdate(hash, piece, (size_t)n);
	if (n < 0 || EVP_DigestFinal_ex(hash, digest, NULL) != 1)
		die("read");
	EVP_MD_CTX_free(hash);
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(path);
	return fd;
}

/* What is done for a process whose executable was hashed before. */
static void count_cached(const char *path, unsigned long rounds)
{
	struct belay__exe_hash hash;
	struct belay_hashes *hashes;
	int fd = open_file(path);

	if (belay_hashes_new(&hashes) < 0)
		die("belay_hashes_new");
	for (unsigned long i = 0; i <= rounds; i++) {
		if (belay__exe_hash(fd, BELAY__HASH_BLAKE3 | BELAY__HASH_SHA256, hashes, UINT64_MAX,
			    &hash) < 0)
			die("belay__exe_hash");
	}
	(void)belay_hashes_free(hashes);
	(void)close(fd);
}

static uint64_t ours_ns(int fd, unsigned kinds)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__exe_hash hash;

	if (belay__exe_hash(fd, kinds, NULL, UINT64_MAX, &hash) < 0)
		die("belay__exe_hash");
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static void least(uint64_t *best, uint64_t ns)
{
	if (*best == 0 || ns < *best)
		*best = ns;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : ROUNDS;
	uint64_t floor = 0, sha256 = 0, blake3 = 0, both = 0;
	int fd;

	if (argc > 3 && strcmp(argv[1], "count") == 0) {
		count_cached(argv[2], strtoul(argv[3], NULL, 10));
		return 0;
	}
	if (argc < 2 || rounds == 0) {
		(void)fprintf(stderr, "usage: bench-hash FILE [ROUNDS]\n");
		return 64;
	}
	stay_on_cpu(0);
	fd = open_file(argv[1]);
	(void)floor_ns(fd); /* now it is in the page cache */
	for (unsigned long i = 0; i < rounds; i++) {
		least(&floor, floor_ns(fd));
		least(&sha256, ours_ns(fd, BELAY__HASH_SHA256));
		least(&blake3, ours_ns(fd, BELAY__HASH_BLAKE3));
		least(&both, ours_ns(fd, BELAY__HASH_BLAKE3 | BELAY__HASH_SHA256));
	}
	printf("{\"floor_ns\":%ju,\"sha256_ns\":%ju,\"blake3_ns\":%ju,\"both_ns\":%ju}\n",
		(uintmax_t)floor, (uintmax_t)sha256, (uintmax_t)blake3, (uintmax_t)both);
	return 0;
}
