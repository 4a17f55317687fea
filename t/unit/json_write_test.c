#include <criterion/criterion.h>

#include "lib/json.h"
#include "lib/json_write.h"

Test(json_write, values_of_all_kinds)
{
	struct str out = STR_INIT, inside = STR_INIT;
	struct json_writer json = { .out = &out }, part = { .out = &inside };

	json_write_number(&part, NULL, 1);
	json_write_text(&part, NULL, "two");
	json_open_object(&json, NULL);
	json_write_text(&json, "a\"b", "c\nd");
	json_write_text(&json, "none", NULL);
	json_write_number(&json, "n", UINT64_MAX);
	json_write_bool(&json, "yes", true);
	json_write_bool(&json, "no", false);
	json_write_seconds(&json, "s", 12000345);
	json_open_array(&json, "list");
	json_open_object(&json, NULL);
	json_close_object(&json);
	json_write_inside(&json, &inside);
	json_open_array(&json, NULL);
	json_close_array(&json);
	json_close_array(&json);
	json_write_number(&json, "last", 0);
	json_close_object(&json);
	cr_expect_str_eq(str_c(&out),
			 "{\"a\\\"b\":\"c\\u000ad\",\"none\":null,"
			 "\"n\":18446744073709551615,\"yes\":true,\"no\":false,"
			 "\"s\":12.000345,\"list\":[{},1,\"two\",[]],"
			 "\"last\":0}");
	str_free(&out);
	str_free(&inside);
}

Test(json_write, an_empty_inside_is_nothing)
{
	struct str out = STR_INIT, inside = STR_INIT;
	struct json_writer json = { .out = &out };

	json_open_array(&json, NULL);
	json_write_inside(&json, &inside);
	json_write_number(&json, NULL, 1);
	json_write_inside(&json, &inside);
	json_close_array(&json);
	cr_expect_str_eq(str_c(&out), "[1]");
	str_free(&out);
}

/* Whatever a client says, what is written is JSON. */
Test(json_write, any_bytes_are_text)
{
	struct str out = STR_INIT;
	struct json_writer json = { .out = &out };
	struct json *read;
	struct err err;
	char text[256];
	int i;

	for (i = 0; i < 255; i++)
		text[i] = (char)(i + 1);
	text[255] = '\0';
	json_write_text(&json, NULL, text);
	read = json_parse(out.data, out.len, &err);
	cr_assert_not_null(read, "%s", err.text);
	json_close(&read);
	str_clear(&out);
	json.follows = false;
	json_write_text(&json, NULL, "\xc3\xa4-\xc3-\xff\xfe\xe2\x82");
	cr_expect_str_eq(str_c(&out),
			 "\"\xc3\xa4-\xef\xbf\xbd-\xef\xbf\xbd\xef\xbf\xbd"
			 "\xef\xbf\xbd\xef\xbf\xbd\"");
	str_free(&out);
}
