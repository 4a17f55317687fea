/* mail_location: what is accepted has absolute paths that lead nowhere else; what is
 * not leaves nothing behind. The first line is the home, "" for none. */
#include <limits.h>
#include <string.h>

#include "backends/local/mail/location.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static void check_path(const char *path)
{
	size_t len = strlen(path);

	ASSERT(path[0] == '/' && len < PATH_MAX - 1024);
	ASSERT(len == 1 || path[len - 1] != '/');
	ASSERT(strstr(path, "/../") == NULL && strstr(path, "/./") == NULL);
	ASSERT(len < 3 || strcmp(path + len - 3, "/..") != 0);
	ASSERT(strcmp(path + len - 2 + (len < 2), "/.") != 0);
}

static void check_parsed(struct mail_location *location)
{
	check_path(location->root);
	check_path(location->inbox);
	check_path(location->control);
	ASSERT(location->subscriptions[0] != '\0');
	ASSERT(strchr(location->subscriptions, '/') == NULL);
	ASSERT(location->layout == MAIL_LAYOUT_MAILDIR ||
	       location->layout == MAIL_LAYOUT_FS);
	mail_location_free(location);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_strndup((const char *)data, size);
	char *end = strchr(text, '\n');
	const char *value = end != NULL ? end + 1 : text;
	struct mail_location location;
	struct err err = { { 0 } };

	if (end != NULL)
		*end = '\0';
	if (mail_location_parse(&location, value,
				end != NULL && end > text ? text : NULL,
				&err) == 0)
		check_parsed(&location);
	else
		ASSERT(location.root == NULL && location.inbox == NULL &&
		       location.control == NULL && err.text[0] != '\0');
	mem_free(&text);
	return 0;
}
