#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "proxy/metrics.h"

static struct metrics metrics;
static struct str out;

static void setup(void)
{
	remote_stats_init(&metrics.backends);
}

static void teardown(void)
{
	remote_stats_free(&metrics.backends);
	str_free(&out);
}

TestSuite(metrics, .init = setup, .fini = teardown);

static void expect_line(const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "\n%s\n", line);
	cr_expect_not_null(strstr(str_c(&out), text), "no line %s in\n%s",
			   line, str_c(&out));
}

Test(metrics, times_are_in_the_bucket_that_they_fit)
{
	struct histogram histogram = { .sum_us = 0 }, other;

	histogram_add(&histogram, 0);
	histogram_add(&histogram, 500);
	histogram_add(&histogram, 501);
	histogram_add(&histogram, 60000000);
	histogram_add(&histogram, 60000001);
	cr_expect_eq(histogram.counts[0], 2);
	cr_expect_eq(histogram.counts[1], 1);
	cr_expect_eq(histogram.counts[HISTOGRAM_BUCKETS - 2], 1);
	cr_expect_eq(histogram.counts[HISTOGRAM_BUCKETS - 1], 1);
	cr_expect_eq(histogram.sum_us, 120001002);
	other = histogram;
	histogram_merge(&histogram, &other);
	cr_expect_eq(histogram.counts[0], 4);
	cr_expect_eq(histogram.sum_us, 240002004);
}

static struct smtp_reply reply(int code, unsigned subject, unsigned detail)
{
	return (struct smtp_reply){
		.code = code,
		.enhanced = { (uint16_t)(code / 100), (uint16_t)subject,
			      (uint16_t)detail },
		.origin = SMTP_ORIGIN_REMOTE,
	};
}

/* Whatever backends answer. */
Test(metrics, outcomes_are_bounded)
{
	struct worker_stats stats = { .sessions = 1 }, sum = { .sessions = 2 };
	struct smtp_reply answer;
	uint64_t total = 0;
	unsigned i;

	for (i = 0; i < 10000; i++) {
		answer = reply(i % 2 == 0 ? 250 : 550, i % 100, i);
		worker_stats_outcome(&stats, &answer);
	}
	answer = reply(450, 0, 0);
	answer.enhanced.class = 0;
	answer.origin = SMTP_ORIGIN_LOCAL;
	worker_stats_outcome(&stats, &answer);
	cr_expect_leq(stats.outcome_count, STATS_OUTCOMES);
	worker_stats_merge(&sum, &stats);
	worker_stats_merge(&sum, &stats);
	cr_expect_leq(sum.outcome_count, STATS_OUTCOMES);
	cr_expect_eq(sum.sessions, 4);
	for (i = 0; i < sum.outcome_count; i++)
		total += sum.outcomes[i].count;
	cr_expect_eq(total, 20002);
}

Test(metrics, backends_are_bounded)
{
	struct remote_stats *stats;
	char name[32];
	unsigned i;

	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "host%u:24", i);
		remote_stats_find(&metrics.backends, name)->transactions++;
	}
	cr_expect_leq(metrics.backends.count, REMOTE_STATS_MAX + 1);
	stats = remote_stats_find(&metrics.backends, "other");
	cr_expect_eq(stats->transactions, 1000 - REMOTE_STATS_MAX);
	cr_expect_eq(remote_stats_find(&metrics.backends, "host7:24")
			     ->transactions, 1);
}

Test(metrics, passdb_counts_add_up)
{
	struct passdb_stats a = { .drivers = { { .name = NULL } } };
	struct passdb_stats b = { .drivers = { { .name = NULL } } };

	passdb_stats_find(&a, "ldap")->found = 2;
	passdb_stats_find(&a, "static")->failed = 1;
	passdb_stats_find(&b, "static")->failed = 4;
	passdb_stats_find(&a, "ldap")->waiting = 3;
	passdb_stats_find(&b, "ldap")->waiting = 4;
	histogram_add(&passdb_stats_find(&b, "static")->seconds, 700);
	passdb_stats_merge(&b, &a);
	cr_expect_eq(passdb_stats_find(&b, "static")->failed, 5);
	cr_expect_eq(passdb_stats_find(&b, "ldap")->found, 2);
	metrics.passdb[PASSDB_KIND_PASS] = b;
	metrics.passdb[PASSDB_KIND_USER] = a;
	metrics_write(&out, &metrics, true);
	expect_line("waypost_userdb_lookups_total{driver=\"ldap\","
		    "result=\"found\"} 2");
	expect_line("waypost_userdb_waiting_lookups{driver=\"ldap\"} 3");
	expect_line("waypost_passdb_lookups_total{driver=\"static\","
		    "result=\"failed\"} 5");
	expect_line("waypost_passdb_lookup_seconds_bucket{driver=\"static\","
		    "le=\"0.0005\"} 0");
	expect_line("waypost_passdb_lookup_seconds_bucket{driver=\"static\","
		    "le=\"0.001\"} 1");
	expect_line("waypost_passdb_lookup_seconds_bucket{driver=\"static\","
		    "le=\"+Inf\"} 1");
	expect_line("waypost_passdb_waiting_lookups{driver=\"ldap\"} 7");
	expect_line("waypost_passdb_lookup_seconds_sum{driver=\"static\"} "
		    "0.000700");
}

Test(metrics, deliveries)
{
	struct local_stats a = { .bytes = 5, .links = 1, .refused = 2 };
	struct local_stats b = { .under_way = 7, .waiting = 3 };

	metrics_write(&out, &metrics, true);
	cr_expect_null(strstr(str_c(&out), "waypost_deliver"));
	str_clear(&out);
	a.results[LOCAL_SAVED] = 3;
	a.results[LOCAL_OVER_QUOTA] = 1;
	b.results[LOCAL_STATS_NO_ANSWER] = 4;
	histogram_add(&a.data, 700);
	histogram_add(&b.rcpt, 1);
	local_stats_merge(&b, &a);
	local_stats_merge(&b, &a);
	metrics.local.is_there = true;
	metrics.local.stats = b;
	metrics.local.crew = (struct crew_counts){
		.started = 9, .ended = { 1, 2, 3, 4 }, .members = 5, .limit = 20,
	};
	metrics_write(&out, &metrics, true);
	expect_line("waypost_deliveries_total{result=\"saved\"} 6");
	expect_line("waypost_deliveries_total{result=\"no_answer\"} 4");
	expect_line("waypost_delivery_over_quota_total{phase=\"rcpt\"} 4");
	expect_line("waypost_delivery_over_quota_total{phase=\"data\"} 2");
	expect_line("waypost_delivery_phase_seconds_sum{phase=\"data\"} 0.001400");
	expect_line("waypost_delivery_phase_seconds_count{phase=\"rcpt\"} 1");
	expect_line("waypost_delivered_bytes_total 10");
	expect_line("waypost_delivery_links_total 2");
	expect_line("waypost_deliveries_under_way 4");
	expect_line("waypost_deliveries_waiting 3");
	expect_line("waypost_delivery_processes_ended_total{how=\"failed\"} 4");
	expect_line("waypost_delivery_processes_limit 20");
}

/* Each has a name that no other has. */
Test(metrics, results_of_deliveries)
{
	unsigned i, j;

	for (i = 0; i < LOCAL_STATS_RESULTS; i++) {
		cr_assert_not_null(local_stats_result_name(i), "%u", i);
		for (j = 0; j < i; j++)
			cr_expect_str_neq(local_stats_result_name(i),
					  local_stats_result_name(j));
	}
}

/* Answers count, old failures do not. */
Test(metrics, passdbs_that_are_dead)
{
	struct passdb_stats stats = { .drivers = { { .name = NULL } } };

	cr_expect_not(passdb_stats_are_dead(&stats, 100));
	passdb_stats_find(&stats, "ldap")->failed_us = 150;
	cr_expect(passdb_stats_are_dead(&stats, 100));
	cr_expect_not(passdb_stats_are_dead(&stats, 150));
	passdb_stats_find(&stats, "static")->answered_us = 99;
	cr_expect(passdb_stats_are_dead(&stats, 100));
	passdb_stats_find(&stats, "static")->answered_us = 101;
	cr_expect_not(passdb_stats_are_dead(&stats, 100));
	/* A recipient that fails among others that do not. */
	passdb_stats_find(&stats, "static")->failed_us = 102;
	cr_expect_not(passdb_stats_are_dead(&stats, 100));
	cr_expect(passdb_stats_are_dead(&stats, 101));
	passdb_stats_find(&stats, "ldap")->answered_us = 160;
	cr_expect_not(passdb_stats_are_dead(&stats, 100));
}

Test(metrics, in_both_formats)
{
	struct smtp_reply answer = reply(250, 1, 5);

	worker_stats_outcome(&metrics.sessions, &answer);
	answer.enhanced.class = 0;
	answer.origin = SMTP_ORIGIN_LOCAL;
	worker_stats_outcome(&metrics.sessions, &answer);
	metrics.sessions.bytes = 123;
	metrics.lag_us = 1000042;
	metrics_write(&out, &metrics, true);
	expect_line("# TYPE waypost_received_bytes counter");
	expect_line("# UNIT waypost_received_bytes bytes");
	expect_line("waypost_received_bytes_total 123");
	expect_line("waypost_event_loop_lag_seconds 1.000042");
	expect_line("waypost_recipients_total{class=\"2xx\","
		    "enhanced=\"2.1.5\",origin=\"backend\"} 1");
	expect_line("waypost_recipients_total{class=\"2xx\",enhanced=\"\","
		    "origin=\"waypost\"} 1");
	cr_expect_null(strstr(str_c(&out), "cache"));
	cr_expect_str_eq(out.data + out.len - 6, "# EOF\n");
	str_clear(&out);
	metrics.has_cache = true;
	metrics.cache.hits = 7;
	metrics_write(&out, &metrics, false);
	expect_line("# TYPE waypost_received_bytes_total counter");
	cr_expect_eq(strncmp(out.data, "# TYPE waypost_build_info gauge\n", 32),
		     0);
	expect_line("waypost_passdb_cache_hits_total 7");
	cr_expect_null(strstr(str_c(&out), "# UNIT"));
	cr_expect_null(strstr(str_c(&out), "# EOF"));
}

/* A name is from a referral or a database. */
Test(metrics, names_cannot_break_a_line)
{
	remote_stats_find(&metrics.backends, "a\"b\\c\nd\xff:24")->open = 3;
	metrics_write(&out, &metrics, true);
	expect_line("waypost_backend_open_connections{"
		    "backend=\"a\\\"b\\\\x5cc\\\\x0ad\\\\xff:24\"} 3");
}

/* A scrape with two samples for the same labels is none. */
Test(metrics, names_that_differ_stay_different)
{
	static const char *const names[] = {
		"\xc3\xa4:24", "\xc3\xb6:24", "\xff:24", "\xfe:24",
		"a\x01:24", "a\x02:24", "a\\x01:24", "a\"b:24",
	};
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remote_stats_find(&metrics.backends, names[i])->transactions =
			i + 1;
	metrics_write(&out, &metrics, true);
#define LINE(name, count) \
	expect_line("waypost_backend_transactions_total{backend=\"" name \
		    "\"} " count)
	LINE("\xc3\xa4:24", "1");
	LINE("\xc3\xb6:24", "2");
	LINE("\\\\xff:24", "3");
	LINE("\\\\xfe:24", "4");
	LINE("a\\\\x01:24", "5");
	LINE("a\\\\x02:24", "6");
	LINE("a\\\\x5cx01:24", "7");
	LINE("a\\\"b:24", "8");
}

/* "le" is a text: programs that compare it want one form of each number. */
Test(metrics, bounds_are_written_as_openmetrics_wants_it)
{
	static const char *const bounds[] = {
		"0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
		"0.1", "0.25", "0.5", "1.0", "2.5", "10.0", "60.0", "+Inf",
	};
	char line[128];
	unsigned i;

	cr_assert_eq(sizeof(bounds) / sizeof(bounds[0]), HISTOGRAM_BUCKETS);
	remote_stats_find(&metrics.backends, "a:24");
	metrics_write(&out, &metrics, true);
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		snprintf(line, sizeof(line), "waypost_backend_phase_seconds_bucket"
			 "{backend=\"a:24\",phase=\"dns\",le=\"%s\"} 0",
			 bounds[i]);
		expect_line(line);
	}
}
