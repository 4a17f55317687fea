/* Stands in for libFuzzer: runs the target over files, so that the seeds are
 * tests wherever the program builds.
 *
 *   x_fuzz [file or directory]...
 *
 * Without arguments it takes the target's own seeds, t/fuzz/seeds/x, under
 * $srcdir (which automake's test driver sets) or here. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/mem.h"
#include "t/fuzz/fuzz.h"

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t size;

	if (file == NULL || fstat(fileno(file), &st) < 0) {
		perror(path);
		return -1;
	}
	/* Exactly as large as the input, for the address sanitizer. */
	size = (size_t)st.st_size;
	data = mem_alloc(size);
	if (fread(data, 1, size, file) != size) {
		perror(path);
		exit(1);
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	mem_free(&data);
	return 1;
}

/* Returns the number of files run, -1 on failure. */
static int replay_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (dir == NULL) {
		perror(path);
		return -1;
	}
	while ((entry = readdir(dir)) != NULL) {
		char *file = mem_printf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.') {
			if (replay_file(file) < 0)
				exit(1);
			count++;
		}
		mem_free(&file);
	}
	closedir(dir);
	return count;
}

static int replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
		return replay_file(path);
	return replay_dir(path);
}

/* "…/x_fuzz" to "$srcdir/t/fuzz/seeds/x". */
static char *own_seeds(const char *program)
{
	const char *srcdir = getenv("srcdir");
	const char *slash = strrchr(program, '/');
	const char *name = slash != NULL ? slash + 1 : program;
	const char *end = strstr(name, "_fuzz");
	size_t len = end != NULL ? (size_t)(end - name) : strlen(name);

	return mem_printf("%s/t/fuzz/seeds/%.*s", srcdir != NULL ? srcdir : ".",
			  (int)len, name);
}

int main(int argc, char **argv)
{
	char *seeds = own_seeds(argv[0]);
	int i, count, total = 0;

	if (argc < 2)
		total = replay(seeds);
	for (i = 1; i < argc && total >= 0; i++) {
		count = replay(argv[i]);
		total = count < 0 ? -1 : total + count;
	}
	if (total == 0)
		fprintf(stderr, "%s: no seeds\n", argv[0]);
	mem_free(&seeds);
	return total > 0 ? 0 : 1;
}
