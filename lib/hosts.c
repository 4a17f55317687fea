#include "lib/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOSTS_BLANKS " \t\r\n"

/* Takes the next word off *rest; NULL at the end of the line. */
static char *hosts_word(char **rest)
{
	char *word = *rest + strspn(*rest, HOSTS_BLANKS);
	size_t len = strcspn(word, HOSTS_BLANKS "#");

	if (len == 0)
		return NULL;
	*rest = word + len;
	if (**rest == '#')
		**rest = '\0';
	else if (**rest != '\0')
		*(*rest)++ = '\0';
	return word;
}

/* What a line says of name. */
struct hosts_line {
	struct addr addr;
	bool names_it;
	const char *full; /* the first name with a dot; NULL: none */
};

static struct hosts_line hosts_read_line(char *text, const char *name)
{
	struct hosts_line line = { .names_it = false };
	char *word = hosts_word(&text);

	if (word == NULL || addr_parse_ip(&line.addr, word, 0) < 0)
		return line;
	while ((word = hosts_word(&text)) != NULL) {
		line.names_it = line.names_it || strcasecmp(word, name) == 0;
		if (line.full == NULL && strchr(word, '.') != NULL)
			line.full = word;
	}
	return line;
}

unsigned hosts_addresses(const char *path, const char *name,
			 struct addr *addrs, unsigned max)
{
	char *text = NULL;
	size_t room = 0;
	unsigned count = 0;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	while (count < max && getline(&text, &room, file) >= 0) {
		struct hosts_line line = hosts_read_line(text, name);

		if (line.names_it)
			addrs[count++] = line.addr;
	}
	free(text);
	fclose(file);
	return count;
}

bool hosts_full_name(const char *path, const char *name, char *full,
		     size_t size)
{
	char *text = NULL;
	size_t room = 0;
	bool found = false;
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return false;
	while (!found && getline(&text, &room, file) >= 0) {
		struct hosts_line line = hosts_read_line(text, name);

		found = line.names_it && line.full != NULL &&
			strlen(line.full) < size;
		if (found)
			memcpy(full, line.full, strlen(line.full) + 1);
	}
	free(text);
	fclose(file);
	return found;
}
