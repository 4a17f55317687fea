#include "lib/netstring.h"

/* The length and where it ends, at the colon; 0: that is still to come; -1: it
 * is none, or more than max. */
static int parse_length(const char *data, size_t len, size_t max,
			size_t *length_r, size_t *end_r)
{
	size_t at, length = 0;

	for (at = 0; at < len && data[at] >= '0' && data[at] <= '9'; at++) {
		if (at > 0 && length == 0)
			return -1;
		length = length * 10 + (size_t)(data[at] - '0');
		if (length > max)
			return -1;
	}
	*length_r = length;
	*end_r = at;
	if (at == len)
		return 0;
	return at > 0 && data[at] == ':' ? 1 : -1;
}

int netstring_parse(const char *data, size_t len, size_t max,
		    struct netstring *netstring_r)
{
	size_t length, colon;
	int got = parse_length(data, len, max, &length, &colon);

	if (got <= 0)
		return got;
	if (len - colon - 1 <= length)
		return 0;
	*netstring_r = (struct netstring){
		.text = data + colon + 1,
		.len = length,
		.size = colon + 1 + length + 1,
	};
	return data[colon + 1 + length] == ',' ? 1 : -1;
}

void netstring_write(struct str *out, const void *text, size_t len)
{
	str_put_number(out, len);
	str_putc(out, ':');
	str_append(out, text, len);
	str_putc(out, ',');
}
