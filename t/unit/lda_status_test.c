#include "backends/local/lda/status.h"

#include <criterion/criterion.h>
#include <signal.h>

/* As waitpid(2) has it. */
#define EXITED(code) ((code) << 8)

static void expect(int wait_status, enum local_status status,
		   const char *described)
{
	struct str text = STR_INIT;

	cr_expect_eq(lda_status(wait_status), status, "%s", described);
	lda_status_describe(&text, wait_status);
	cr_expect_str_eq(str_c(&text), described);
	str_free(&text);
}

Test(lda_status, what_an_end_means)
{
	expect(EXITED(0), LOCAL_SAVED, "ended with status 0");
	expect(EXITED(1), LOCAL_FAILED, "ended with status 1");
	expect(EXITED(64), LOCAL_MISCONFIGURED, "ended with status 64 (EX_USAGE)");
	expect(EXITED(65), LOCAL_BAD_MESSAGE, "ended with status 65 (EX_DATAERR)");
	expect(EXITED(67), LOCAL_NO_USER, "ended with status 67 (EX_NOUSER)");
	expect(EXITED(69), LOCAL_NOT_TAKEN,
	       "ended with status 69 (EX_UNAVAILABLE)");
	expect(EXITED(73), LOCAL_NO_ROOM, "ended with status 73 (EX_CANTCREAT)");
	expect(EXITED(75), LOCAL_FAILED, "ended with status 75 (EX_TEMPFAIL)");
	expect(EXITED(77), LOCAL_REFUSED, "ended with status 77 (EX_NOPERM)");
	expect(EXITED(78), LOCAL_MISCONFIGURED, "ended with status 78 (EX_CONFIG)");
	expect(EXITED(127), LOCAL_MISCONFIGURED, "ended with status 127");
	expect(EXITED(255), LOCAL_FAILED, "ended with status 255");
	expect(SIGSEGV, LOCAL_FAILED,
	       "was killed by signal 11 (Segmentation fault)");
	expect(SIGABRT | 0x80, LOCAL_FAILED, "was killed by signal 6 (Aborted)");
}

Test(lda_status, only_four_refuse_for_good)
{
	int code;

	for (code = 1; code < 256; code++) {
		enum local_status status = lda_status(EXITED(code));

		cr_expect_neq(status, LOCAL_SAVED, "%d", code);
		if (code == 65 || code == 67 || code == 69 || code == 77)
			continue;
		cr_expect(status == LOCAL_FAILED || status == LOCAL_NO_ROOM ||
			  status == LOCAL_MISCONFIGURED, "%d", code);
	}
}
