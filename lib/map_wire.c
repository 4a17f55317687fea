#include "lib/map_wire.h"

#include "lib/netstring.h"
#include "lib/percent.h"
#include "lib/utf8.h"

#define GET "get "
#define GET_LEN (sizeof(GET) - 1)

/* --- socketmap --- */

/* The name ends at the first space: keys may have some. */
static void read_socketmap(struct map_request *request, struct arena *arena,
			   const struct netstring *netstring)
{
	const char *text = netstring->text;
	size_t len = netstring->len;
	const char *space = memchr(text, ' ', len);

	if (memchr(text, '\0', len) != NULL) {
		request->wrong = "NUL in the request";
	} else if (space == NULL) {
		request->wrong = "no space behind the name of the map";
	} else {
		request->map = arena_strndup(arena, text,
					     (size_t)(space - text));
		request->key = arena_strndup(arena, space + 1,
					     (size_t)(text + len - space - 1));
	}
}

static int parse_socketmap(struct map_request *request, struct arena *arena,
			   const char *data, size_t len)
{
	struct netstring netstring;
	int got = netstring_parse(data, len, MAP_REQUEST_MAX, &netstring);

	if (got > 0) {
		request->size = netstring.size;
		read_socketmap(request, arena, &netstring);
	} else if (got < 0) {
		request->wrong = "no netstring, or too long";
	}
	return got;
}

/* --- tcp --- */

static int parse_tcp(struct map_request *request, struct arena *arena,
		     const char *data, size_t len)
{
	const char *end = memchr(data, '\n', len);

	request->language = MAP_TCP;
	if (memcmp(data, GET, len < GET_LEN ? len : GET_LEN) != 0) {
		request->wrong = "not a request of socketmap or tcp";
		return -1;
	}
	if (end == NULL && len <= MAP_REQUEST_MAX)
		return 0;
	if (end == NULL || end - data > MAP_REQUEST_MAX) {
		request->wrong = "too long";
		return -1;
	}
	request->size = (size_t)(end - data) + 1;
	request->key = percent_decode(arena, data + GET_LEN,
				      request->size - GET_LEN - 1, false);
	if (request->key == NULL)
		request->wrong = "the key is not encoded well";
	return 1;
}

int map_wire_parse(struct map_request *request, struct arena *arena,
		   const char *data, size_t len)
{
	*request = (struct map_request){ .map = "" };
	if (len == 0)
		return 0;
	if (data[0] >= '0' && data[0] <= '9')
		return parse_socketmap(request, arena, data, len);
	return parse_tcp(request, arena, data, len);
}

/* --- answers --- */

static bool is_printable(char c)
{
	return c > ' ' && c < 0x7f; /* char may be signed or not */
}

static void put_encoded(struct str *out, const char *text, size_t len)
{
	for (; len > 0; text++, len--) {
		if (is_printable(*text) && *text != '%')
			str_putc(out, *text);
		else
			str_printf(out, "%%%02X", (unsigned char)*text);
	}
}

static void put_clean(struct str *out, const char *text, size_t len)
{
	for (; len > 0; text++, len--) {
		unsigned char c = (unsigned char)*text;

		str_putc(out, c < ' ' || c == 0x7f ? '?' : *text);
	}
}

void map_wire_answer(struct str *out, enum map_language language,
		     enum map_result result, const char *text)
{
	static const char *const words[] = {
		[MAP_OK] = "OK ", [MAP_NOTFOUND] = "NOTFOUND ",
		[MAP_TEMP] = "TEMP ", [MAP_PERM] = "PERM ",
	};
	static const char *const codes[] = {
		[MAP_OK] = "200 ", [MAP_NOTFOUND] = "500 ",
		[MAP_TEMP] = "400 ", [MAP_PERM] = "400 ",
	};
	size_t len = strlen(text);
	struct str answer = STR_INIT, clean = STR_INIT;

	put_clean(&clean, text, utf8_cut(text, len, MAP_TEXT_MAX));
	if (language == MAP_TCP) {
		str_puts(out, codes[result]);
		put_encoded(out, str_c(&clean), clean.len);
		str_putc(out, '\n');
	} else {
		str_puts(&answer, words[result]);
		str_append(&answer, str_c(&clean), clean.len);
		netstring_write(out, answer.data, answer.len);
	}
	str_free(&answer);
	str_free(&clean);
}
