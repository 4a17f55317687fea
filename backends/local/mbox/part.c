#include "backends/local/mbox/part.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mbox_part_write(struct str *out, off_t at, const char *start, size_t len)
{
	if (len == 0 || len > MBOX_PART_START_MAX)
		return;
	str_putc(out, '\0');
	str_put_number(out, (uint64_t)at);
	str_putc(out, '\0');
	str_append(out, start, len);
	str_putc(out, '\0');
}

static bool read_number(const char *text, size_t len, off_t *number_r)
{
	uint64_t number = 0;
	size_t i;

	if (len == 0 || len > 18)
		return false;
	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	*number_r = (off_t)number;
	return true;
}

bool mbox_part_read(struct mbox_part *part, const char *data, size_t len)
{
	const char *end = data + len, *second;

	part->start_len = 0;
	if (len < 2 || data[0] != '\0' || end[-1] != '\0')
		return false;
	second = memchr(data + 1, '\0', len - 1);
	if (!read_number(data + 1, (size_t)(second - data - 1), &part->at) ||
	    end - second < 3 || end - second - 2 > MBOX_PART_START_MAX)
		return false;
	part->start_len = (size_t)(end - second - 2);
	memcpy(part->start, second + 1, part->start_len);
	return true;
}

static bool starts_so(const struct mbox_part *part, int fd)
{
	char found[MBOX_PART_START_MAX];

	return pread(fd, found, part->start_len, part->at) ==
		       (ssize_t)part->start_len &&
	       memcmp(found, part->start, part->start_len) == 0;
}

/* Whether the rest of the file is of one mail, in which no line begins with "From ":
 * others may have written there meanwhile, who know only one of the two locks. */
static bool is_one_mail(int fd, off_t at)
{
	static const char from[] = "\nFrom ";
	char data[8192];
	size_t matched = 1; /* the line before has ended */
	ssize_t got, i;

	while ((got = pread(fd, data, sizeof(data), at)) > 0) {
		for (i = 0; i < got; i++) {
			if (data[i] == from[matched])
				matched++;
			else
				matched = data[i] == '\n';
			if (matched == sizeof(from) - 1)
				return false;
		}
		at += got;
	}
	return got == 0;
}

bool mbox_part_cut(const struct mbox_part *part, int fd, off_t *end)
{
	if (part->start_len == 0 || part->at >= *end || !starts_so(part, fd) ||
	    !is_one_mail(fd, part->at + (off_t)part->start_len) ||
	    ftruncate(fd, part->at) < 0)
		return false;
	*end = part->at;
	return true;
}
