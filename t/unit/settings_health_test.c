/* The settings of the director's health. */
#include "proxy/settings/health.h"

#include "t/unit/settings_helper.h"

static struct arena *arena;
static struct conf_tree *tree;
static struct conf_errors errors;

static void end(void)
{
	conf_errors_free(&errors);
	conf_tree_free(&tree);
	arena_free(&arena);
}

TestSuite(settings_health, .fini = end);

/* What a text sets, and in errors what is wrong with it. */
static struct director_health_settings of(const char *text)
{
	struct director_health_settings health;

	end();
	arena = arena_new(256);
	tree = read_text(text);
	errors = (struct conf_errors){ .errors = 0 };
	conf_defaults(&settings_health_table, arena, &health);
	conf_apply(&settings_health_table, arena, tree->root, &health);
	settings_health_check(&health, tree->root, &errors);
	return health;
}

Test(settings_health, defaults)
{
	struct director_health_settings health = of("");

	cr_expect_eq(errors.errors, 0);
	cr_expect_eq(health.probe, DIRECTOR_PROBE_LHLO);
	cr_expect_str_eq(health.probe_user, "");
	cr_expect_eq(health.probe_interval, 10000);
	cr_expect_eq(health.probe_timeout, 5000);
	cr_expect_eq(health.probe_rise, 2);
	cr_expect_eq(health.probe_fall, 3);
	cr_expect_eq(health.probe_max_interval, 60000);
	cr_expect_eq(health.slow_start, 30000);
	cr_expect_eq(health.panic_threshold, 50);
}

Test(settings_health, levels)
{
	cr_expect_eq(of("director_probe = no\n").probe, DIRECTOR_PROBE_NO);
	cr_expect_eq(of("director_probe = tcp\n").probe, DIRECTOR_PROBE_TCP);
	cr_expect_eq(of("director_probe = greeting\n").probe,
		     DIRECTOR_PROBE_GREETING);
	cr_expect_eq(of("director_probe = rcpt\n"
			"director_probe_user = probe\n").probe,
		     DIRECTOR_PROBE_RCPT);
	cr_expect_eq(errors.errors, 0);
}

Test(settings_health, what_may_be_0)
{
	of("director_probe_max_interval = 0\ndirector_slow_start = 0\n"
	   "director_panic_threshold = 0\n");
	cr_expect_eq(errors.errors, 0, "%s", str_c(&errors.text));
}

Test(settings_health, wrong)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "director_probe_interval = 0\n",
		  "f:1: director_probe_interval cannot be 0\n" },
		{ "director_probe_timeout = 0\n",
		  "f:1: director_probe_timeout cannot be 0\n" },
		{ "director_probe_rise = 0\n",
		  "f:1: director_probe_rise cannot be 0\n" },
		{ "director_probe_fall = 0\n",
		  "f:1: director_probe_fall cannot be 0\n" },
		{ "director_probe = rcpt\n",
		  "f:1: director_probe = rcpt needs director_probe_user\n" },
		{ "\ndirector_probe_user = joe doe\n",
		  "f:2: director_probe_user is no address\n" },
		{ "director_probe_user = joe>RCPT\n",
		  "f:1: director_probe_user is no address\n" },
		{ "director_panic_threshold = 101\n",
		  "f:1: director_panic_threshold is a percentage: 100 at "
		  "most\n" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at;

		of(rows[i].text);
		cr_expect_eq(errors.errors, 1, "%s", str_c(&errors.text));
		at = strstr(str_c(&errors.text), "f:");
		cr_assert_not_null(at, "%s", str_c(&errors.text));
		cr_expect_str_eq(at, rows[i].error);
	}
}

Test(settings_health, users_are_no_longer_than_addresses)
{
	struct str text = STR_INIT;
	unsigned i;

	str_puts(&text, "director_probe_user = ");
	for (i = 0; i < 320; i++)
		str_putc(&text, 'x');
	str_putc(&text, '\n');
	of(str_c(&text));
	cr_expect_eq(errors.errors, 0);
	str_truncate(&text, text.len - 1);
	str_puts(&text, "x\n");
	of(str_c(&text));
	cr_expect_eq(errors.errors, 1);
	str_free(&text);
}

Test(settings_health, bound_and_checked)
{
	struct settings *set = load(BASE PASSDB "director_probe_fall = 7\n");

	cr_expect_eq(set->director_health.probe_fall, 7);
	cr_expect_eq(set->director_health.probe_rise, 2);
	settings_unref(&set);
	expect_errors(BASE PASSDB "director_probe = rcpt\n", 1,
		      "f:7: director_probe = rcpt needs director_probe_user");
	expect_errors(BASE PASSDB "director_probe = ping\n", 1,
		      "f:7: director_probe");
}
