/* The last errors, which are kept for who asks. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/log/log.h"
#include "lib/log/recent.h"
#include "lib/mem.h"
#include "lib/str.h"

struct seen {
	unsigned count;
	size_t bytes;
	uint64_t last_ms;
	struct str text; /* of all */
	char first[64], last[64];
};

static void see(void *arg, const struct log_recent_line *line)
{
	struct seen *seen = arg;

	if (seen->count++ == 0)
		snprintf(seen->first, sizeof(seen->first), "%s", line->text);
	snprintf(seen->last, sizeof(seen->last), "%s", line->text);
	cr_assert_geq(line->time_ms, seen->last_ms);
	seen->last_ms = line->time_ms;
	seen->bytes += strlen(line->text) + 1;
	str_printf(&seen->text, "%d %s\n", (int)line->level, line->text);
}

static struct seen look(void)
{
	struct seen seen = { .count = 0 };

	log_recent_each(see, &seen);
	return seen;
}

static void open_log(enum log_format format, unsigned burst)
{
	const struct log_settings settings = {
		.path = "/dev/null",
		.timestamp = "%H ",
		.syslog_facility = "mail",
		.prefix = "lmtp(1): ",
		.format = format,
		.error_burst = burst,
	};
	struct err err;

	cr_assert_eq(log_open(&settings, &err), 0, "%s", err.text);
}

static void expect_all(const char *wanted)
{
	struct seen seen = look();

	cr_assert_str_eq(str_c(&seen.text), wanted);
	str_free(&seen.text);
}

Test(log_recent, keeps_trouble_and_nothing_else)
{
	const struct log_ctx outer = { NULL, "out\n" };
	const struct log_ctx inner = { &outer, "in" };
	uint64_t before_ms = (uint64_t)(time(NULL) - 1) * 1000;
	struct seen seen;

	open_log(LOG_FORMAT_TEXT, 0);
	cr_assert_eq(look().count, 0);
	log_info(NULL, "no");
	log_warning(&inner, "w");
	log_error(NULL, "e %s", "\x1b");
	log_fatal(NULL, "f");
	log_error(NULL, "t");
	expect_all("2 out\\x0a: in: w\n3 e \\x1b\n4 f\n3 t\n");
	seen = look();
	cr_assert_gt(seen.last_ms, before_ms);
	/* time() may be a tick behind, and the second another one. */
	cr_assert_leq(seen.last_ms, (uint64_t)(time(NULL) + 2) * 1000);
	str_free(&seen.text);
}

Test(log_recent, json_makes_no_difference)
{
	const struct log_ctx ctx = { NULL, "me" };
	struct str *line;

	open_log(LOG_FORMAT_JSON, 0);
	log_error(&ctx, "a \"word\" \\");
	line = log_begin(LOG_LEVEL_WARNING, &ctx);
	str_puts(line, "text");
	log_begin_fields("recipient");
	log_field("from", "x");
	log_end();
	expect_all("3 me: a \"word\" \\x5c\n2 me: text\n");
}

Test(log_recent, the_oldest_make_room)
{
	struct seen seen;
	int i;

	open_log(LOG_FORMAT_TEXT, 0);
	for (i = 0; i < LOG_RECENT_LINES + 5; i++)
		log_error(NULL, "line %d", i);
	seen = look();
	cr_assert_eq(seen.count, LOG_RECENT_LINES);
	cr_assert_str_eq(seen.first, "line 5");
	cr_assert_str_eq(seen.last, "line 1004");
	str_free(&seen.text);
}

Test(log_recent, memory_is_bounded)
{
	char text[9000];
	struct seen seen;
	int i;

	memset(text, '\\', sizeof(text) - 1); /* grows fourfold */
	text[sizeof(text) - 1] = '\0';
	open_log(LOG_FORMAT_TEXT, 0);
	for (i = 0; i < LOG_RECENT_LINES; i++)
		log_error(NULL, "%d %s", i, text);
	seen = look();
	cr_assert_leq(seen.bytes, LOG_RECENT_BYTES);
	cr_assert_gt(seen.bytes, LOG_RECENT_BYTES - 4096);
	cr_assert_eq(strncmp(seen.last, "999 ", 4), 0);
	str_free(&seen.text);
}

Test(log_recent, what_is_held_back_is_counted)
{
	const struct log_ctx ctx = { NULL, "me" };
	int i;

	open_log(LOG_FORMAT_TEXT, 2);
	for (i = 0; i < 5; i++)
		log_error(&ctx, "line %d", i);
	expect_all("3 me: line 0\n3 me: line 1\n");
	log_flush();
	expect_all("3 me: line 0\n3 me: line 1\n"
		   "3 me: 3 more like this in the last 1 s: line 1\n");
}

static void *many(void *arg)
{
	int i;

	for (i = 0; i < 3000; i++)
		log_error(arg, "line");
	return NULL;
}

Test(log_recent, threads_share_it, .timeout = 60)
{
	const struct log_ctx ctx = { NULL, "thread" };
	pthread_t threads[4];
	struct seen seen;
	int i;

	open_log(LOG_FORMAT_TEXT, 0);
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, many, (void *)&ctx);
	for (i = 0; i < 100; i++) {
		seen = look();
		str_free(&seen.text);
	}
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	seen = look();
	cr_assert_eq(seen.count, LOG_RECENT_LINES);
	cr_assert_str_eq(seen.last, "thread: line");
	str_free(&seen.text);
}
