#include "lib/smtp/forward.h"

#include <criterion/criterion.h>
#include <string.h>

static struct arena *arena;
static struct str out;

static void setup(void)
{
	arena = arena_new(1024);
	out = (struct str)STR_INIT;
}

static void teardown(void)
{
	arena_free(&arena);
	str_free(&out);
}

TestSuite(smtp_forward, .init = setup, .fini = teardown);

/* "key=value|key" of what was read. */
static const char *show(const struct smtp_forward *forward)
{
	struct str text = STR_INIT;
	const char *copy;
	size_t i;

	for (i = 0; i < forward->count; i++) {
		str_printf(&text, "%s%s", i > 0 ? "|" : "",
			   forward->fields[i].key);
		if (forward->fields[i].value != NULL)
			str_printf(&text, "=%s", forward->fields[i].value);
	}
	copy = arena_strdup(arena, str_c(&text));
	str_free(&text);
	return copy;
}

/* written: NULL when it is what was read. */
static const struct {
	const char *value, *fields, *written;
	size_t count;
} cases[] = {
	{ "colour+3Dblue+09size+3D7", "colour=blue|size=7", NULL, 2 },
	{ "colour+3dblue", "colour=blue", "colour+3Dblue", 1 },
	{ "flag", "flag", NULL, 1 },
	{ "flag+3D", "flag=", NULL, 1 },
	{ "a+3D1+3D2", "a=1=2", NULL, 1 },
	{ "a+3D1+09a+3D2", "a=1|a=2", NULL, 2 },
	{ "a+3D1+09", "a=1", "a+3D1", 1 },
	{ "a+3Dx+01ty+01nz+01r+011", "a=x\ty\nz\r\001", NULL, 1 },
	{ "a+01tb+3Dc", "a\tb=c", NULL, 1 },
	{ "a+3D+01q", "a=q", "a+3Dq", 1 },
	{ "a+3Dx+01", "a=x", "a+3Dx", 1 },
	{ "a+3D+0A+0D", "a=\n\r", "a+3D+01n+01r", 1 },
	{ "a+3Dm+C3+BCller+20+2B", "a=m\303\274ller +", NULL, 1 },
};

Test(smtp_forward, cases)
{
	struct smtp_forward forward;
	struct err err = { "" };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *want = cases[i].written != NULL ?
				   cases[i].written : cases[i].value;

		cr_assert_eq(smtp_forward_parse(arena, cases[i].value,
						&forward, &err), 0, "%s: %s",
			     cases[i].value, err.text);
		cr_assert_eq(forward.count, cases[i].count, "%s",
			     cases[i].value);
		cr_assert_str_eq(show(&forward), cases[i].fields);
		str_clear(&out);
		cr_assert_eq(smtp_forward_write(&out, &forward, &err), 0);
		cr_assert_str_eq(str_c(&out), want);
	}
}

static const struct {
	const char *value, *text;
} bad[] = {
	{ "a=b", "xtext" },
	{ "a+", "xtext" },
	{ "a+3", "xtext" },
	{ "a b", "xtext" },
	{ "\303\274", "xtext" },
	{ "a+3Db+00", "NUL" },
	{ "a+00", "NUL" },
	{ "a+3Db+010c", "NUL" },
	{ "a+010+3Db", "NUL" },
	{ "+3Db", "key" },
	{ "a+3D1+09+09b+3D2", "key" },
	{ "+09a", "key" },
	{ "+01", "key" },
};

Test(smtp_forward, bad)
{
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct smtp_forward forward;
		struct err err = { "" };

		cr_assert_eq(smtp_forward_parse(arena, bad[i].value, &forward,
						&err), -1, "%s", bad[i].value);
		cr_assert_not_null(strstr(err.text, bad[i].text), "%s: %s",
				   bad[i].value, err.text);
	}
}

/* A field whose value has len bytes in xtext, "a+3D" before. */
static char *long_value(size_t len)
{
	char *text = arena_alloc(arena, len + 1);

	memset(text, 'x', len);
	return text;
}

Test(smtp_forward, longest)
{
	struct smtp_forward_field field = { .key = "a" };
	struct smtp_forward forward = { &field, 1 }, back;
	struct err err;

	field.value = long_value(SMTP_FORWARD_MAX - strlen("a+3D"));
	cr_assert_eq(smtp_forward_write(&out, &forward, &err), 0);
	cr_assert_eq(out.len, SMTP_FORWARD_MAX);
	cr_assert_eq(smtp_forward_parse(arena, str_c(&out), &back, &err), 0);
	cr_assert_str_eq(back.fields[0].value, field.value);

	field.value = long_value(SMTP_FORWARD_MAX - strlen("a+3D") + 1);
	str_clear(&out);
	str_puts(&out, "RCPT");
	cr_assert_eq(smtp_forward_write(&out, &forward, &err), -1);
	cr_assert_str_eq(str_c(&out), "RCPT");
	cr_assert_not_null(strstr(err.text, "3073 bytes"), "%s", err.text);
	str_clear(&out);
	str_puts(&out, long_value(SMTP_FORWARD_MAX + 1));
	cr_assert_eq(smtp_forward_parse(arena, str_c(&out), &back, &err), -1);
}

Test(smtp_forward, appends)
{
	struct smtp_forward_field fields[] = { { "a", "1" }, { "b", NULL } };
	struct smtp_forward forward = { fields, 2 }, none = { NULL, 0 };
	struct err err;

	str_puts(&out, " XRCPTFORWARD=");
	cr_assert_eq(smtp_forward_write(&out, &none, &err), 0);
	cr_assert_str_eq(str_c(&out), " XRCPTFORWARD=");
	cr_assert_eq(smtp_forward_write(&out, &forward, &err), 0);
	cr_assert_str_eq(str_c(&out), " XRCPTFORWARD=a+3D1+09b");
}

Test(smtp_forward, names_that_cannot_be_sent)
{
	struct smtp_forward_field fields[] = { { "a", "1" }, { "b=c", "2" } };
	struct smtp_forward forward = { fields, 2 };
	struct err err;

	cr_assert_eq(smtp_forward_write(&out, &forward, &err), -1);
	cr_assert_not_null(strstr(err.text, "forward_b=c"), "%s", err.text);
	fields[1].key = "";
	cr_assert_eq(smtp_forward_write(&out, &forward, &err), -1);
	cr_assert_eq(out.len, 0);
}
