/* A passwd-file that somebody is just writing. */
#include "t/unit/passdb_helper.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/clock.h"

struct writer {
	struct loop_timer timer;
	struct helper *helper;
	const char *text; /* the rest; NULL: it never comes, but something does */
	uint64_t last_ms;
	bool slow; /* the machine stood still: no statement */
};

static bool is_slow(const struct writer *writer)
{
	return writer->slow || clock_now_ms() - writer->last_ms > 400;
}

static void write_more(struct loop_timer *timer)
{
	struct writer *writer = container_of(timer, struct writer, timer);
	const char *text = writer->text != NULL ? writer->text : "#\n";
	int fd = open(helper_path(writer->helper, "users"), O_WRONLY | O_APPEND);

	cr_assert_geq(fd, 0);
	writer->slow = is_slow(writer);
	writer->last_ms = clock_now_ms();
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	if (writer->text == NULL)
		loop_timer_set(timer, 100);
}

/* A file that is there in part when it is read for the first time. */
static void open_half(struct helper *helper, struct writer *writer,
		      const char *half, const char *rest)
{
	helper_init(helper);
	*writer = (struct writer){ .helper = helper, .text = rest,
				   .last_ms = clock_now_ms() };
	helper_write(helper, "users", half);
	helper_add(helper, "passwd-file", helper_path(helper, "users"));
	helper_open(helper);
	loop_timer_open(&writer->timer, helper->loop, write_more);
	loop_timer_set(&writer->timer, 100);
}

static void close_half(struct helper *helper, struct writer *writer)
{
	loop_timer_close(&writer->timer);
	helper_close(helper);
}

static void expect_late(const char *half, const char *rest, const char *fields)
{
	struct helper helper;
	struct writer writer;
	enum passdb_result result;

	open_half(&helper, &writer, half, rest);
	result = helper_lookup(&helper, "joe");
	if (!is_slow(&writer)) {
		cr_expect_eq(result, PASSDB_OK, "%s|%s", half, rest);
		cr_expect_str_eq(helper_fields(&helper), fields, "%s|%s", half,
				 rest);
	}
	cr_expect_eq(helper_lookup(&helper, "jim"), PASSDB_NOT_FOUND);
	helper_expect_fields(&helper, "jane", "a=1");
	close_half(&helper, &writer);
}

/* None of these is a user whom nobody knows. */
Test(passwd_file_young, users_who_are_still_to_come)
{
	expect_late("jane:x::::::a=1\n", "joe:x::::::a=2\n", "a=2");
	expect_late("jane:x::::::a=1\njoe:x::::::a=10", "0\n", "a=100");
	expect_late("jane:x::::::a=1\njo", "e:x::::::a=2\n", "a=2");
	expect_late("jane:x::::::a=1\njoe", ":x::::::a=2\n", "a=2");
}

Test(passwd_file_young, whoever_never_stops_writing_says_nothing)
{
	struct helper helper;
	struct writer writer;
	enum passdb_result result;

	open_half(&helper, &writer, "jane:x::::::a=1\n", NULL);
	result = helper_lookup(&helper, "joe");
	if (!is_slow(&writer)) {
		cr_expect_eq(result, PASSDB_FAIL);
		cr_expect_not_null(strstr(helper_log(&helper),
					  "is being written to"));
	}
	helper_expect_fields(&helper, "jane", "a=1");
	close_half(&helper, &writer);
}

Test(passwd_file_young, nobody_waits_any_more)
{
	struct helper helper;
	struct writer writer;
	unsigned ms;

	for (ms = 0; ms <= 150; ms += 50) {
		open_half(&helper, &writer, "jane:x::::::a=1\n", NULL);
		helper_start(&helper, "joe");
		helper_run_ms(&helper, ms);
		passdb_cancel(&helper.request);
		helper_run_ms(&helper, 20);
		cr_assert(!helper.done || is_slow(&writer));
		helper_expect_fields(&helper, "jane", "a=1");
		close_half(&helper, &writer);
	}
}
