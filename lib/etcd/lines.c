#include "lib/etcd/lines.h"

void etcd_lines_init(struct etcd_lines *lines, size_t max)
{
	*lines = (struct etcd_lines){ .max = max };
}

void etcd_lines_free(struct etcd_lines *lines)
{
	str_free(&lines->buf);
	etcd_lines_init(lines, lines->max);
}

void etcd_lines_add(struct etcd_lines *lines, const char *data, size_t len)
{
	str_consume(&lines->buf, lines->start);
	lines->scanned -= lines->start;
	lines->start = 0;
	str_append(&lines->buf, data, len);
}

int etcd_lines_next(struct etcd_lines *lines, const char **line, size_t *len)
{
	const char *data = str_c(&lines->buf), *end;

	for (;;) {
		end = memchr(data + lines->scanned, '\n',
			     lines->buf.len - lines->scanned);
		if (end == NULL) {
			lines->scanned = lines->buf.len;
			return lines->buf.len - lines->start > lines->max ? -1 :
				0;
		}
		*line = data + lines->start;
		*len = (size_t)(end - *line);
		if (*len > lines->max)
			return -1;
		lines->start = lines->scanned = (size_t)(end - data) + 1;
		if (*len > 0)
			return 1;
	}
}

bool etcd_lines_rest(struct etcd_lines *lines, const char **line, size_t *len)
{
	*line = str_c(&lines->buf) + lines->start;
	*len = lines->buf.len - lines->start;
	lines->start = lines->scanned = lines->buf.len;
	return *len > 0 && *len <= lines->max;
}
