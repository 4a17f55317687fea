/* First byte: size of the pieces; the others: a peer's output. The replies in
 * it are the same whether it comes in one piece or in many. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/reply.h"
#include "t/fuzz/fuzz.h"

static void check_reply(const struct smtp_reply *reply)
{
	const char *c;

	ASSERT(reply->code >= 200 && reply->code <= 599);
	ASSERT(reply->enhanced.class == 0 ||
	       reply->enhanced.class == reply->code / 100);
	ASSERT(reply->enhanced.class != 3);
	ASSERT(reply->enhanced.subject <= 999 && reply->enhanced.detail <= 999);
	ASSERT(strlen(reply->text) < SMTP_REPLY_MAX_SIZE);
	for (c = reply->text; *c != '\0'; c++)
		ASSERT((unsigned char)*c >= ' ' || *c == '\t' || *c == '\n');
}

/* Appends to log all that comes out, and the final error. */
static void read_all(struct str *log, const char *in, size_t len, size_t piece)
{
	struct smtp_reply_parser parser;
	struct smtp_reply reply;
	struct err err;
	size_t at = 0, used, part;
	int ret = 0;

	smtp_reply_parser_init(&parser);
	while (at < len && ret >= 0) {
		part = len - at < piece ? len - at : piece;
		ret = smtp_reply_parse(&parser, in + at, part, &used, &reply,
				       &err);
		ASSERT(used <= part && (ret != 0 || used == part));
		ASSERT(ret != 1 || used > 0);
		at += used;
		if (ret < 0) {
			str_printf(log, "! %s\n", err.text);
		} else if (ret > 0) {
			check_reply(&reply);
			str_printf(log, "@%zu ", at);
			smtp_reply_write(log, &reply, NULL);
			smtp_reply_describe(log, &reply);
		}
	}
	smtp_reply_parser_free(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = { 1, 2, 3, 7 };
	struct str whole = STR_INIT, cut = STR_INIT;
	const char *in = (const char *)data + 1;
	size_t i;

	if (size < 2)
		return 0;
	read_all(&whole, in, size - 1, size - 1);
	read_all(&cut, in, size - 1, 1 + data[0]);
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		ASSERT(strcmp(str_c(&whole), str_c(&cut)) == 0);
		str_clear(&cut);
		read_all(&cut, in, size - 1, pieces[i]);
	}
	ASSERT(strcmp(str_c(&whole), str_c(&cut)) == 0);
	str_free(&whole);
	str_free(&cut);
	return 0;
}
