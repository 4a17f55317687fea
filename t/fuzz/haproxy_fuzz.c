/* A connection's first bytes. A header is the same however its bytes arrive,
 * and no byte behind it is ever asked for. */
#include <stdlib.h>
#include <string.h>

#include "lib/domain.h"
#include "lib/haproxy.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static void check_text(const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		ASSERT((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check_header(const struct haproxy_header *header)
{
	ASSERT(header->version == 1 || header->version == 2);
	ASSERT(header->local == (header->source.len == 0));
	ASSERT(header->local == (header->dest.len == 0));
	ASSERT(header->tls.verified || header->tls.common_name == NULL);
	ASSERT(header->authority == NULL ||
	       domain_is_valid(header->authority, strlen(header->authority)));
	check_text(header->tls.version);
	check_text(header->tls.cipher);
	check_text(header->tls.common_name);
}

static bool same_addresses(const struct haproxy_header *a,
			   const struct haproxy_header *b)
{
	return addr_equal(&a->source, &b->source) &&
	       addr_equal(&a->dest, &b->dest);
}

/* Reads only as much as the parser says that there is. */
static int parse_stepwise(struct arena *arena, const uint8_t *data, size_t size,
			  struct haproxy_header *header_r, size_t *len_r)
{
	size_t have = 0, next = 0;
	struct err err;
	uint8_t *copy;
	int ret;

	for (;;) {
		copy = calloc(1, have > 0 ? have : 1);
		memcpy(copy, data, have);
		ret = haproxy_parse(arena, copy, have, header_r, &next, &err);
		free(copy);
		if (ret != 0 || next > size)
			break;
		ASSERT(next > have && next <= HAPROXY_MAX_SIZE);
		have = next;
	}
	ASSERT(ret <= 0 || next == have);
	*len_r = next;
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(256);
	struct haproxy_header whole, steps;
	struct err err = { "" };
	size_t whole_len = 0, steps_len = 0;
	int ret = haproxy_parse(arena, data, size, &whole, &whole_len, &err);

	ASSERT((ret < 0) == (err.text[0] != '\0'));
	ASSERT(ret != 0 || whole_len > size);
	ASSERT(ret <= 0 || (whole_len <= size && whole_len > 0));
	if (ret > 0)
		check_header(&whole);
	/* What is wrong may show only in bytes that were not asked for yet. */
	if (parse_stepwise(arena, data, size, &steps, &steps_len) > 0) {
		ASSERT(ret > 0 && whole_len == steps_len);
		ASSERT(same_addresses(&whole, &steps));
	} else {
		ASSERT(ret <= 0);
	}
	arena_free(&arena);
	return 0;
}
