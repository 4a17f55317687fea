#include "lib/map_wire.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static const struct {
	const char *data;
	int got;
	enum map_language language;
	const char *map, *key, *wrong; /* wrong: a part of the text */
	size_t size;
} cases[] = {
	{ "12:director joe,", 1, MAP_SOCKETMAP, "director", "joe", NULL, 16 },
	{ "8:d a@b  c,", 1, MAP_SOCKETMAP, "d", "a@b  c", NULL, 11 },
	{ "2:d ,3:e f,", 1, MAP_SOCKETMAP, "d", "", NULL, 5 },
	{ "2: d,", 1, MAP_SOCKETMAP, "", "d", NULL, 5 },
	{ "8:director,", 1, MAP_SOCKETMAP, "", NULL, "no space", 11 },
	{ "0:,", 1, MAP_SOCKETMAP, "", NULL, "no space", 3 },
	{ "5:d joe", 0, MAP_SOCKETMAP, "", NULL, NULL, 0 },
	{ "5:d joe!", -1, MAP_SOCKETMAP, "", NULL, "netstring", 0 },
	{ "100000:director ", -1, MAP_SOCKETMAP, "", NULL, "too long", 0 },
	{ "", 0, MAP_SOCKETMAP, "", NULL, NULL, 0 },
	{ "get joe\n", 1, MAP_TCP, "", "joe", NULL, 8 },
	{ "get joe\nget", 1, MAP_TCP, "", "joe", NULL, 8 },
	{ "get \n", 1, MAP_TCP, "", "", NULL, 5 },
	{ "get a%20b%25%2b%C3%b6\n", 1, MAP_TCP, "", "a b%+\xc3\xb6", NULL,
	  22 },
	{ "get a%2\n", 1, MAP_TCP, "", NULL, "encoded", 8 },
	{ "get a%\n", 1, MAP_TCP, "", NULL, "encoded", 7 },
	{ "get a%2x\n", 1, MAP_TCP, "", NULL, "encoded", 9 },
	{ "get a%x2\n", 1, MAP_TCP, "", NULL, "encoded", 9 },
	{ "get a%00\n", 1, MAP_TCP, "", NULL, "encoded", 9 },
	{ "g", 0, MAP_TCP, "", NULL, NULL, 0 },
	{ "get", 0, MAP_TCP, "", NULL, NULL, 0 },
	{ "get joe", 0, MAP_TCP, "", NULL, NULL, 0 },
	{ "gex", -1, MAP_TCP, "", NULL, "not a request", 0 },
	{ "GET / HTTP/1.0\r\n", -1, MAP_TCP, "", NULL, "not a request", 0 },
	{ "put a b\n", -1, MAP_TCP, "", NULL, "not a request", 0 },
	{ "\n", -1, MAP_TCP, "", NULL, "not a request", 0 },
};

static void expect(const char *name, const char *got, const char *want)
{
	if (want == NULL)
		cr_expect_null(got, "%s: %s", name, got);
	else
		cr_expect_str_eq(got, want, "%s", name);
}

static void check(size_t i)
{
	const char *data = cases[i].data;
	struct arena *arena = arena_new(64);
	struct map_request request;

	cr_assert_eq(map_wire_parse(&request, arena, data, strlen(data)),
		     cases[i].got, "%s", data);
	cr_expect_eq(request.language, cases[i].language, "%s", data);
	expect(data, request.map, cases[i].map);
	expect(data, request.key, cases[i].key);
	cr_expect_eq(request.size, cases[i].size, "%s", data);
	if (cases[i].wrong == NULL)
		expect(data, request.wrong, NULL);
	else
		cr_expect_not_null(strstr(request.wrong, cases[i].wrong),
				   "%s: %s", data, request.wrong);
	arena_free(&arena);
}

Test(map_wire, requests)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(i);
}

/* A NUL may stand in neither. */
Test(map_wire, nul)
{
	static const char socketmap[] = "5:d a\0b,", tcp[] = "get a\0b\n";
	struct arena *arena = arena_new(64);
	struct map_request request;

	cr_assert_eq(map_wire_parse(&request, arena, socketmap,
				    sizeof(socketmap) - 1), 1);
	cr_expect_str_eq(request.wrong, "NUL in the request");
	cr_assert_eq(map_wire_parse(&request, arena, tcp, sizeof(tcp) - 1), 1);
	cr_expect_str_eq(request.wrong, "the key is not encoded well");
	arena_free(&arena);
}

/* Also when it never ends. */
Test(map_wire, no_request_is_longer)
{
	struct arena *arena = arena_new(64);
	struct map_request request;
	struct str data = STR_INIT;

	str_puts(&data, "get ");
	while (data.len < MAP_REQUEST_MAX)
		str_putc(&data, 'a');
	cr_expect_eq(map_wire_parse(&request, arena, data.data, data.len), 0);
	str_putc(&data, '\n');
	cr_expect_eq(map_wire_parse(&request, arena, data.data, data.len), 1);
	data.data[data.len - 1] = 'a';
	cr_expect_eq(map_wire_parse(&request, arena, data.data, data.len), -1);
	cr_expect_str_eq(request.wrong, "too long");
	str_putc(&data, '\n');
	cr_expect_eq(map_wire_parse(&request, arena, data.data, data.len), -1);
	str_free(&data);
	arena_free(&arena);
}

static void expect_answer(enum map_language language, enum map_result result,
			  const char *text, const char *want)
{
	struct str out = STR_INIT;

	map_wire_answer(&out, language, result, text);
	cr_expect_str_eq(str_c(&out), want);
	str_free(&out);
}

Test(map_wire, answers)
{
	expect_answer(MAP_SOCKETMAP, MAP_OK, "lmtp:[192.0.2.1]:24",
		      "22:OK lmtp:[192.0.2.1]:24,");
	expect_answer(MAP_SOCKETMAP, MAP_NOTFOUND, "", "9:NOTFOUND ,");
	expect_answer(MAP_SOCKETMAP, MAP_TEMP, "a\nb", "8:TEMP a?b,");
	expect_answer(MAP_SOCKETMAP, MAP_PERM, "no", "7:PERM no,");
	expect_answer(MAP_TCP, MAP_OK, "lmtp:[192.0.2.1]:24",
		      "200 lmtp:[192.0.2.1]:24\n");
	expect_answer(MAP_TCP, MAP_NOTFOUND, "", "500 \n");
	expect_answer(MAP_TCP, MAP_TEMP, "50% \xc3\xb6\r\n",
		      "400 50%25%20%C3%B6??\n");
	expect_answer(MAP_TCP, MAP_PERM, "no", "400 no\n");
}

/* tcp_table(5) allows for 4096 bytes, whatever has to be encoded. */
Test(map_wire, answers_have_an_end)
{
	char *text = malloc(5001);
	struct str out = STR_INIT;

	memset(text, '%', 5000);
	text[5000] = '\0';
	map_wire_answer(&out, MAP_TCP, MAP_TEMP, text);
	cr_expect_eq(out.len, 4 + 3 * MAP_TEXT_MAX + 1);
	str_clear(&out);
	map_wire_answer(&out, MAP_SOCKETMAP, MAP_TEMP, text);
	cr_expect_eq(out.len, 5 + 5 + MAP_TEXT_MAX + 1);
	str_free(&out);
	free(text);
}
