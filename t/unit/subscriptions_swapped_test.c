/* The user puts a pipe in the place of the file while it is looked at. */
#include "backends/local/maildir/subscriptions.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96];

int stat(const char *restrict name, struct stat *restrict st)
{
	int status = fstatat(AT_FDCWD, name, st, 0);

	if (status == 0 && strcmp(name, path) == 0) {
		unlink(path);
		mkfifo(path, 0600);
	}
	return status;
}

Test(subscriptions_swapped, a_pipe_is_not_waited_for, .timeout = 30)
{
	struct local_result result = { .text = "" };
	struct mail_location location;
	char text[128];
	struct err err;
	FILE *file;

	strcpy(dir, "/tmp/waypost-subs-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/subscriptions", dir);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fclose(file);
	snprintf(text, sizeof(text), "maildir:%s", dir);
	cr_assert_eq(mail_location_parse(&location, text, NULL, &err), 0);
	cr_expect_eq(subscriptions_add(&location, ".box", false, &result), -1);
	cr_expect(strstr(result.text, "Invalid argument") != NULL, "%s",
		  result.text);
	mail_location_free(&location);
	unlink(path);
	rmdir(dir);
}
