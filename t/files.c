#include "t/files.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/panic.h"

void files_init(struct files *files)
{
	snprintf(files->dir, sizeof(files->dir), "/tmp/waypost-test-XXXXXX");
	ASSERT(mkdtemp(files->dir) != NULL);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void files_done(struct files *files)
{
	nftw(files->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *files_path(struct files *files, const char *name)
{
	snprintf(files->path, sizeof(files->path), "%s/%s", files->dir, name);
	return files->path;
}

const char *files_write(struct files *files, const char *name,
			const char *text)
{
	char *path = files->path, *slash;
	FILE *file;

	files_path(files, name);
	for (slash = strchr(path + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "w");
	ASSERT(file != NULL);
	ASSERT(fputs(text, file) >= 0);
	ASSERT(fclose(file) == 0);
	return path;
}

void files_read(const char *path, struct str *out)
{
	FILE *file = fopen(path, "r");
	size_t got;

	if (file == NULL)
		PANIC("cannot read %s", path);
	do {
		got = fread(str_reserve(out, 4096), 1, 4096, file);
		str_grown(out, got);
	} while (got > 0);
	fclose(file);
}

const char *files_source(struct files *files, const char *name)
{
	const char *srcdir = getenv("srcdir");

	snprintf(files->path, sizeof(files->path), "%s/%s",
		 srcdir != NULL ? srcdir : ".", name);
	return files->path;
}
