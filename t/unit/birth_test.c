#include "lib/birth.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long pid;
static unsigned long long start, inode;

static void setup(void)
{
	struct str text = STR_INIT;

	birth_write(&text);
	cr_assert_eq(sscanf(str_c(&text), "%ld-%llu-%llu-", &pid, &start, &inode),
		     3, "%s", str_c(&text));
	str_free(&text);
}

TestSuite(birth, .init = setup);

static bool lives(const char *format, unsigned long long started,
		  unsigned long long number)
{
	char text[128];

	snprintf(text, sizeof(text), format, pid, started, number);
	return birth_lives(text);
}

Test(birth, a_process_lives)
{
	cr_expect_eq(pid, (long)getpid());
	cr_expect_gt(start, 0);
	cr_expect(lives("%ld-%llu-%llu-", start, inode));
	cr_expect(lives("%ld-%llu-%llu-00abcdef", start, inode));
	cr_expect(lives("%ld-%llu-%llu-", 0, 0));
}

/* As of a version that knew nothing of the inode. */
Test(birth, a_name_without_an_inode)
{
	cr_expect(lives("%ld-%llu-00abcdef", start, 0));
	cr_expect(lives("%ld-%llu-12345abc", start, 0));
	cr_expect(lives("%ld-%llu-12345678", start, 0));
	cr_expect_not(lives("%ld-%llu-12345abc", start + 1, 0));
}

Test(birth, a_number_that_another_process_has_by_now)
{
	cr_expect_not(lives("%ld-%llu-%llu-", start + 1, inode));
	cr_expect_not(lives("%ld-%llu-%llu-00abcdef", start, inode + 1));
}

/* Of which /proc says nothing. */
Test(birth, a_hidden_one)
{
	cr_expect(lives("%ld-%llu-%llu-00abcdef", 0, inode));
	cr_expect_not(lives("%ld-%llu-%llu-00abcdef", 0, inode + 1));
}

Test(birth, a_dead_one)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	pid = (long)child;
	cr_expect_not(lives("%ld-%llu-%llu-", 1, 1));
}

Test(birth, what_is_no_name)
{
	cr_expect(birth_lives(""));
	cr_expect(birth_lives("1"));
	cr_expect(birth_lives("x-1-2"));
	cr_expect(birth_lives("0-1-2"));
	cr_expect(birth_lives("-1-1-2"));
}
