/* Errors that repeat are held back and counted. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/log/burst.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "t/files.h"

#define NOW 1000000 /* ms */

static bool admits(uint64_t kind, uint64_t now_ms)
{
	return log_burst_admits(LOG_LEVEL_ERROR, kind, now_ms);
}

static void example(uint64_t kind, const char *context, const char *message)
{
	const struct log_ctx ctx = { NULL, context };

	log_burst_example(kind, &ctx, message, strlen(message));
}

Test(log_burst, no_limit_holds_nothing_back)
{
	int i;

	for (i = 0; i < 1000; i++)
		cr_assert(admits(1, NOW));
	cr_assert_not(log_burst_pending());
}

Test(log_burst, further_lines_are_counted)
{
	struct log_burst burst;

	log_burst_limit(2);
	cr_assert(admits(1, NOW));
	example(1, "first", "text 1");
	cr_assert(admits(1, NOW + 1));
	example(1, "second", "text 2");
	cr_assert_not(log_burst_pending());
	cr_assert_not(admits(1, NOW + 2));
	cr_assert_not(admits(1, NOW + 9999));
	cr_assert(log_burst_pending());
	cr_assert_not(log_burst_take(&burst, NOW + 9999, false));
	cr_assert(log_burst_take(&burst, NOW + 10000, false));
	cr_assert_eq(burst.count, 2);
	cr_assert_eq(burst.seconds, 10);
	cr_assert_eq(burst.level, LOG_LEVEL_ERROR);
	cr_assert_str_eq(burst.context, "second");
	cr_assert_str_eq(burst.message, "text 2");
	cr_assert_not(log_burst_pending());
	cr_assert_not(log_burst_take(&burst, NOW + 99999, true));
	/* and it begins again */
	cr_assert(admits(1, NOW + 10001));
	cr_assert(admits(1, NOW + 10002));
	cr_assert_not(admits(1, NOW + 10003));
}

Test(log_burst, ten_seconds_without_a_burst_are_forgotten)
{
	log_burst_limit(2);
	cr_assert(admits(1, NOW));
	cr_assert(admits(1, NOW + 9000));
	cr_assert(admits(1, NOW + 10000));
	cr_assert(admits(1, NOW + 10000));
	cr_assert_not(admits(1, NOW + 10000));
}

Test(log_burst, what_was_not_asked_for_in_time_stays_counted)
{
	struct log_burst burst;

	log_burst_limit(1);
	cr_assert(admits(1, NOW));
	cr_assert_not(admits(1, NOW));
	cr_assert_not(admits(1, NOW + 25000));
	cr_assert(log_burst_take(&burst, NOW + 25000, false));
	cr_assert_eq(burst.count, 2);
	cr_assert_eq(burst.seconds, 25);
}

Test(log_burst, kinds_have_nothing_to_do_with_each_other)
{
	struct log_burst burst;

	log_burst_limit(1);
	cr_assert(admits(1, NOW));
	cr_assert(admits(2, NOW));
	cr_assert_not(admits(1, NOW));
	example(2, "b", "two");
	example(1, "a", "one");
	cr_assert(log_burst_take(&burst, NOW + 10000, false));
	cr_assert_str_eq(burst.message, "one");
	cr_assert_not(log_burst_take(&burst, NOW + 10000, false));
	cr_assert_not(log_burst_take(&burst, NOW + 10000, true));
}

Test(log_burst, too_many_kinds_count_as_one)
{
	struct log_burst burst;
	uint64_t kind;

	log_burst_limit(2);
	for (kind = 1; kind <= LOG_BURST_KINDS; kind++)
		cr_assert(admits(kind, NOW));
	cr_assert(admits(1001, NOW));
	cr_assert(admits(1002, NOW));
	example(1002, "c", "other");
	for (kind = 2000; kind < 3000; kind++)
		cr_assert_not(admits(kind, NOW));
	cr_assert(admits(1, NOW));
	cr_assert_not(admits(1, NOW));
	example(1, "c", "known");
	cr_assert(log_burst_take(&burst, NOW + 10000, false));
	cr_assert_eq(burst.count, 1);
	cr_assert_str_eq(burst.message, "known");
	cr_assert(log_burst_take(&burst, NOW + 10000, false));
	cr_assert_eq(burst.count, 1000);
	cr_assert_str_eq(burst.message, "other");
	/* The others have left their places. */
	cr_assert(admits(1001, NOW + 10000));
	cr_assert(admits(1001, NOW + 10000));
	cr_assert_not(admits(1001, NOW + 10000));
	example(1001, "c", "own");
	cr_assert(log_burst_take(&burst, NOW + 20000, false));
	cr_assert_str_eq(burst.message, "own");
}

Test(log_burst, the_worst_level_counts)
{
	struct log_burst burst;

	log_burst_limit(1);
	cr_assert(log_burst_admits(LOG_LEVEL_WARNING, 1, NOW));
	cr_assert_not(log_burst_admits(LOG_LEVEL_ERROR, 1, NOW));
	cr_assert_not(log_burst_admits(LOG_LEVEL_WARNING, 1, NOW));
	cr_assert(log_burst_take(&burst, NOW, true));
	cr_assert_eq(burst.level, LOG_LEVEL_ERROR);
}

Test(log_burst, examples_are_cut_between_characters)
{
	char text[2000] = "x";
	struct log_burst burst;
	size_t i;

	for (i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 3);
	log_burst_limit(1);
	cr_assert(admits(1, NOW));
	cr_assert_not(admits(1, NOW));
	example(1, text, text);
	cr_assert(log_burst_take(&burst, NOW, true));
	cr_assert_eq(strlen(burst.message), sizeof(burst.message) - 1);
	cr_assert_eq(strlen(burst.context), sizeof(burst.context) - 1);
	cr_assert(admits(1, NOW));
	cr_assert_not(admits(1, NOW));
	example(1, text + 1, text + 1);
	cr_assert(log_burst_take(&burst, NOW, true));
	cr_assert_eq(strlen(burst.message), sizeof(burst.message) - 2);
}

/* --- in the log --- */

static struct files files;
static struct log_settings settings;
static struct err err;

static void setup(void)
{
	files_init(&files);
	settings = (struct log_settings){
		.path = files_path(&files, "log"),
		.timestamp = "",
		.syslog_facility = "mail",
		.prefix = "p: ",
		.error_burst = 2,
	};
	cr_assert_eq(log_open(&settings, &err), 0, "%s", err.text);
}

static void teardown(void)
{
	log_close();
	files_done(&files);
}

TestSuite(log_burst_lines, .init = setup, .fini = teardown, .timeout = 30);

static void expect(const char *wanted)
{
	struct str text = STR_INIT;

	files_read(files_path(&files, "log"), &text);
	cr_assert_str_eq(str_c(&text), wanted);
	str_free(&text);
}

static void fail_with(const struct log_ctx *ctx, const char *why)
{
	log_error(ctx, "failed: %s", why);
}

Test(log_burst_lines, a_line_says_how_many_there_were)
{
	const struct log_ctx ctx = { NULL, "me" };

	fail_with(&ctx, "a\n");
	fail_with(&ctx, "b\n");
	fail_with(&ctx, "c\n");
	log_error(NULL, "something else");
	fail_with(&ctx, "d\n");
	expect("p: Error: me: failed: a\\x0a\np: Error: me: failed: b\\x0a\n"
	       "p: Error: something else\n");
	cr_assert_gt(log_flush_lazily(), 0); /* asks to be asked again */
	log_flush();
	cr_assert_eq(log_flush_lazily(), 0);
	expect("p: Error: me: failed: a\\x0a\np: Error: me: failed: b\\x0a\n"
	       "p: Error: something else\n"
	       "p: Error: me: 2 more like this in the last 1 s: "
	       "failed: b\\x0a\n");
}

Test(log_burst_lines, information_and_fatal_lines_are_never_held_back)
{
	struct str text = STR_INIT;
	int i;

	for (i = 0; i < 10; i++) {
		log_info(NULL, "i");
		log_fatal(NULL, "f");
	}
	log_flush();
	files_read(files_path(&files, "log"), &text);
	cr_assert_eq(text.len, 10 * (strlen("p: Info: i\n") +
				     strlen("p: Fatal: f\n")));
	str_free(&text);
}

Test(log_burst_lines, who_makes_lines_of_pieces_names_the_kind)
{
	struct str *line;
	int i, written = 0;

	for (i = 0; i < 5; i++) {
		line = log_begin_kind(LOG_LEVEL_WARNING, NULL, 77);
		if (line == NULL)
			continue;
		str_printf(line, "w%d", i);
		log_end();
		written++;
	}
	cr_assert_eq(written, 2);
	cr_assert_not_null(log_begin_kind(LOG_LEVEL_WARNING, NULL, 78));
	log_end();
	log_flush();
	expect("p: Warning: w0\np: Warning: w1\np: Warning: \n"
	       "p: Warning: 3 more like this in the last 1 s: w1\n");
}

Test(log_burst_lines, nothing_is_held_back_at_the_end)
{
	fail_with(NULL, "a");
	fail_with(NULL, "b");
	fail_with(NULL, "c");
	log_close();
	expect("p: Error: failed: a\np: Error: failed: b\n"
	       "p: Error: 1 more like this in the last 1 s: "
	       "failed: b\n");
}

Test(log_burst_lines, json_has_the_count_as_a_number)
{
	struct str text = STR_INIT;

	settings.format = LOG_FORMAT_JSON;
	cr_assert_eq(log_open(&settings, &err), 0);
	fail_with(NULL, "a");
	fail_with(NULL, "b");
	fail_with(NULL, "c");
	log_flush();
	files_read(files_path(&files, "log"), &text);
	cr_assert_not_null(strstr(text.data, "\"message\":\"1 more like this in "
				  "the last 1 s: failed: b\","
				  "\"event\":\"burst\",\"repeated\":1,"
				  "\"seconds\":1}\n"), "%s", text.data);
	str_free(&text);
}

static void *fail_often(void *arg)
{
	int i;

	for (i = 0; i < 1000; i++)
		fail_with(NULL, arg);
	log_flush();
	return NULL;
}

Test(log_burst_lines, threads_lose_no_count)
{
	static char why[] = "why";
	struct str text = STR_INIT;
	unsigned long total = 0;
	pthread_t threads[4];
	char *rest, *line;
	int i;

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, fail_often, why);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	log_flush();
	files_read(files_path(&files, "log"), &text);
	rest = text.data;
	while ((line = strsep(&rest, "\n"))[0] != '\0') {
		unsigned more;

		if (sscanf(line, "p: Error: %u more like", &more) == 1)
			total += more;
		else
			total++;
	}
	cr_assert_eq(total, 4000);
	str_free(&text);
}
