#include "backends/local/failure.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static struct local_result result;

TestSuite(failure, .timeout = 20);

Test(failure, what_an_errno_means)
{
	static const struct {
		int error;
		enum local_status status;
	} cases[] = {
		{ EDQUOT, LOCAL_OVER_QUOTA }, { ENOSPC, LOCAL_NO_SPACE },
		{ EACCES, LOCAL_NO_ACCESS },  { EPERM, LOCAL_NO_ACCESS },
		{ EROFS, LOCAL_NO_ACCESS },   { ESTALE, LOCAL_GONE },
		{ ENOENT, LOCAL_GONE },	      { ENOTCONN, LOCAL_GONE },
		{ EIO, LOCAL_FAILED },	      { ENOMEM, LOCAL_FAILED },
		{ EFBIG, LOCAL_FAILED },      { ENOTDIR, LOCAL_FAILED },
		{ ELOOP, LOCAL_FAILED },      { 0, LOCAL_FAILED },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(failure_set(&result, cases[i].error, "x", "/y"), -1);
		cr_expect_eq(result.status, cases[i].status, "%d", cases[i].error);
		cr_expect_eq(result.error, cases[i].error);
	}
}

Test(failure, the_text)
{
	char expected[128];

	failure_set(&result, ENOSPC, "write", "/home/joe/mail");
	cr_expect_str_eq(result.text,
			 "cannot write /home/joe/mail: No space left on device");
	failure_set_as(&result, LOCAL_GONE, EACCES, "open", "/home/joe");
	cr_expect_eq(result.status, LOCAL_GONE);
	snprintf(expected, sizeof(expected),
		 "cannot open /home/joe: Permission denied (as uid %u, gid %u)",
		 geteuid(), getegid());
	cr_expect_str_eq(result.text, expected);
}

Test(failure, of_a_long_path_the_end_is_told)
{
	char path[5000];

	memset(path, 'x', sizeof(path));
	memcpy(path + sizeof(path) - 9, "/the/end", 9);
	failure_set(&result, EACCES, "write and write and write and write again",
		    path);
	cr_expect_not_null(strstr(result.text, "...xxx"));
	cr_expect_not_null(strstr(result.text, "/the/end: Permission denied (as"));
	cr_expect_eq(result.text[strlen(result.text) - 1], ')', "%s", result.text);
}

Test(failure, of_a_program)
{
	cr_expect_eq(failure_program_status(ENOENT), LOCAL_MISCONFIGURED);
	cr_expect_eq(failure_program_status(EACCES), LOCAL_MISCONFIGURED);
	cr_expect_eq(failure_program_status(ENOEXEC), LOCAL_MISCONFIGURED);
	cr_expect_eq(failure_program_status(EAGAIN), LOCAL_FAILED);
	cr_expect_eq(failure_program_status(ENOMEM), LOCAL_FAILED);
	cr_expect_eq(failure_program_status(EMFILE), LOCAL_FAILED);
}
