#include "lib/json.h"

#include <criterion/criterion.h>

static struct json *parse(const char *text)
{
	struct err err = { "" };
	struct json *root = json_parse(text, strlen(text), &err);

	cr_assert(root != NULL, "%s: %s", text, err.text);
	return root;
}

Test(json, refuses_what_is_no_value)
{
	static const char *const texts[] = {
		"", " ", "{", "[1,2", "{\"a\":}", "[] []", "{}x", "\"a", "nul",
		"{\"a\":1,\"a\":2}", "\"\\u0000\"", "\"\xff\"", "\"\xc0\xaf\"",
		"12345678901234567890", "1e999", "'a'", "{a:1}", "[1,]",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct err err = { "" };

		cr_expect_null(json_parse(texts[i], strlen(texts[i]), &err),
			       "%s", texts[i]);
		cr_expect_neq(err.text[0], '\0', "%s", texts[i]);
	}
}

Test(json, reads_values)
{
	struct json *root = parse("{\"s\":\"a\\u00e9\",\"n\":null,\"t\":true,"
				  "\"f\":false,\"i\":-5,\"a\":[1,[]],\"o\":{}}");
	const struct json *array = json_member(root, "a");

	cr_expect_str_eq(json_text(json_member(root, "s")), "a\xc3\xa9");
	cr_expect_eq(json_kind(json_member(root, "n")), JSON_KIND_NULL);
	cr_expect_eq(json_kind(json_member(root, "t")), JSON_KIND_TRUE);
	cr_expect_eq(json_kind(json_member(root, "f")), JSON_KIND_FALSE);
	cr_expect_eq(json_kind(json_member(root, "i")), JSON_KIND_NUMBER);
	cr_expect_eq(json_kind(json_member(root, "o")), JSON_KIND_OBJECT);
	cr_expect_eq(json_kind(array), JSON_KIND_ARRAY);
	cr_expect_eq(json_count(array), 2);
	cr_expect_eq(json_kind(json_item(array, 1)), JSON_KIND_ARRAY);
	cr_expect_str_eq(json_kind_name(array), "an array");
	json_close(&root);
	cr_expect_null(root);
}

/* Asking the wrong kind is no crash. */
Test(json, what_is_not_there)
{
	struct json *root = parse("[\"x\"]");

	cr_expect_null(json_member(root, "a"));
	cr_expect_null(json_member(NULL, "a"));
	cr_expect_null(json_item(root, 1));
	cr_expect_null(json_item(NULL, 0));
	cr_expect_null(json_text(root));
	cr_expect_null(json_text(NULL));
	cr_expect_eq(json_count(json_item(root, 0)), 0);
	cr_expect_eq(json_count(NULL), 0);
	cr_expect_eq(json_kind(NULL), JSON_KIND_NONE);
	cr_expect_str_eq(json_kind_name(NULL), "nothing");
	cr_expect_eq(json_each(root, NULL, NULL), 0);
	cr_expect_eq(json_each(NULL, NULL, NULL), 0);
	json_close(&root);
	json_close(&root);
}

Test(json, numbers_are_written_as_they_are)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "0", "0" }, { "-7", "-7" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "24.5", "24.5" }, { "0.1", "0.1" }, { "1e3", "1000" },
		{ "0.1234567890123456", "0.1234567890123456" },
	};
	struct str out = STR_INIT;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct json *root = parse(cases[i].in);

		str_clear(&out);
		json_put_number(&out, root);
		cr_expect_str_eq(str_c(&out), cases[i].out);
		json_close(&root);
	}
	str_free(&out);
}

static int count_members(void *arg, const char *name, const struct json *value)
{
	int *left = arg;

	cr_expect_neq(json_kind(value), JSON_KIND_NONE, "%s", name);
	return --*left == 0 ? -1 : 0;
}

Test(json, members_one_by_one)
{
	struct json *root = parse("{\"a\":1,\"b\":2,\"c\":3}");
	int left = 5;

	cr_expect_eq(json_each(root, count_members, &left), 0);
	cr_expect_eq(left, 2);
	cr_expect_eq(json_each(root, count_members, &left), -1);
	cr_expect_eq(left, 0);
	json_close(&root);
}

/* Every byte comes back. */
Test(json, strings_are_escaped)
{
	char all[128];
	struct str out = STR_INIT;
	struct json *root;
	unsigned i;

	for (i = 1; i < 128; i++)
		all[i - 1] = (char)i;
	all[127] = '\0';
	json_put_string(&out, all);
	root = parse(str_c(&out));
	cr_expect_str_eq(json_text(root), all);
	json_close(&root);
	str_clear(&out);
	json_put_string(&out, "\xc3\xa9\"\\\n");
	cr_expect_str_eq(str_c(&out), "\"\xc3\xa9\\\"\\\\\\u000a\"");
	str_free(&out);
}
