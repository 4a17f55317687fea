#include "backends/local/lda/status.h"

#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

/* What shells say when they could not run a program. */
enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

struct exit_code {
	int code;
	const char *name; /* NULL: it has none */
	enum local_status status;
};

static const struct exit_code codes[] = {
	{ EX_OK, NULL, LOCAL_SAVED },
	{ EX_USAGE, "EX_USAGE", LOCAL_MISCONFIGURED },
	{ EX_DATAERR, "EX_DATAERR", LOCAL_BAD_MESSAGE },
	{ EX_NOINPUT, "EX_NOINPUT", LOCAL_FAILED },
	{ EX_NOUSER, "EX_NOUSER", LOCAL_NO_USER },
	{ EX_NOHOST, "EX_NOHOST", LOCAL_FAILED },
	{ EX_UNAVAILABLE, "EX_UNAVAILABLE", LOCAL_NOT_TAKEN },
	{ EX_SOFTWARE, "EX_SOFTWARE", LOCAL_FAILED },
	{ EX_OSERR, "EX_OSERR", LOCAL_FAILED },
	{ EX_OSFILE, "EX_OSFILE", LOCAL_MISCONFIGURED },
	{ EX_CANTCREAT, "EX_CANTCREAT", LOCAL_NO_ROOM },
	{ EX_IOERR, "EX_IOERR", LOCAL_FAILED },
	{ EX_TEMPFAIL, "EX_TEMPFAIL", LOCAL_FAILED },
	{ EX_PROTOCOL, "EX_PROTOCOL", LOCAL_FAILED },
	{ EX_NOPERM, "EX_NOPERM", LOCAL_REFUSED },
	{ EX_CONFIG, "EX_CONFIG", LOCAL_MISCONFIGURED },
	{ NOT_EXECUTABLE, NULL, LOCAL_MISCONFIGURED },
	{ NOT_FOUND, NULL, LOCAL_MISCONFIGURED },
};

static const struct exit_code *find(int wait_status)
{
	size_t i;

	if (!WIFEXITED(wait_status))
		return NULL;
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == WEXITSTATUS(wait_status))
			return &codes[i];
	return NULL;
}

enum local_status lda_status(int wait_status)
{
	const struct exit_code *code = find(wait_status);

	return code != NULL ? code->status : LOCAL_FAILED;
}

void lda_status_describe(struct str *out, int wait_status)
{
	const struct exit_code *code = find(wait_status);

	if (WIFSIGNALED(wait_status)) {
		int number = WTERMSIG(wait_status);

		str_printf(out, "was killed by signal %d (%s)", number,
			   strsignal(number));
		return;
	}
	str_printf(out, "ended with status %d", WEXITSTATUS(wait_status));
	if (code != NULL && code->name != NULL)
		str_printf(out, " (%s)", code->name);
}
