/* replay_main.c - gives a fuzz target the inputs of a corpus, without a fuzzer
 *
 * Each argument is a file or a directory of files. Every input is copied into memory of exactly its
 * size, so that an address sanitizer or valgrind sees the first byte that is read past its end.
 * Prints each input's path before it is tried: after a crash the last line names the culprit.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static unsigned replayed, unreadable;

static uint8_t *read_whole(FILE *file, size_t len)
{
	/* At least one byte: malloc(0) may be NULL. */
	uint8_t *bytes = malloc(len > 0 ? len : 1);

	assert(bytes != NULL);
	if (fread(bytes, 1, len, file) == len)
		return bytes;
	free(bytes);
	return NULL;
}

static void replay_file(const char *path, size_t len)
{
	FILE *file = fopen(path, "re");
	uint8_t *bytes = file == NULL ? NULL : read_whole(file, len);

	printf("%s\n", path);
	fflush(stdout);
	if (bytes != NULL) {
		(void)LLVMFuzzerTestOneInput(bytes, len);
		replayed++;
	} else {
		fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
		unreadable++;
	}
	free(bytes);
	if (file != NULL)
		(void)fclose(file);
}

static void replay_directory(const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char path[4096];
		struct stat status;
		int len = snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);

		assert(len > 0 && (size_t)len < sizeof(path));
		if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
			replay_file(path, (size_t)status.st_size);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat status;

		if (stat(argv[i], &status) == 0 && S_ISREG(status.st_mode))
			replay_file(argv[i], (size_t)status.st_size);
		else
			replay_directory(argv[i]);
	}
	printf("%u inputs replayed\n", replayed);

	/* An empty corpus is a mistake in the build files, not a success. */
	return replayed > 0 && unreadable == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
