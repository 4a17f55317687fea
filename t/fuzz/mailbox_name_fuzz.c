/* Names of mailboxes: a folder that comes of one stays in its tree, hides no other
 * file there, and can be read back. The first byte says which layout and
 * separator, and whether there is a prefix. */
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "backends/local/mailbox_name.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static const char separators[] = { '\0', '.', '/', '^' };

static void check_part(const char *part, size_t len, bool fs, bool utf8)
{
	size_t i;

	ASSERT(len > 0 && len <= NAME_MAX);
	ASSERT(!(fs && len == 1 && part[0] == '.'));
	ASSERT(!(fs && len == 2 && part[0] == '.' && part[1] == '.'));
	ASSERT(!(fs && len == 3 && (memcmp(part, "cur", 3) == 0 ||
				    memcmp(part, "new", 3) == 0 ||
				    memcmp(part, "tmp", 3) == 0)));
	for (i = 0; i < len; i++) {
		ASSERT(utf8 || (part[i] >= 0x20 && part[i] < 0x7f));
		ASSERT(part[i] < 0 || part[i] >= 0x20);
	}
}

static void check_folder(const struct mail_location *location,
			 const char *folder)
{
	bool fs = location->layout == MAIL_LAYOUT_FS;
	size_t len;

	ASSERT(strlen(folder) <= MAILBOX_NAME_MAX);
	if (!fs) {
		ASSERT(folder[0] == '.' && strchr(folder, '/') == NULL);
		ASSERT(strlen(folder) <= NAME_MAX);
		folder++;
	}
	do {
		len = strcspn(folder, fs ? "/" : ".");
		check_part(folder, len, fs, location->utf8);
		folder += len;
	} while (*folder++ != '\0');
}

/* Undoes modified UTF-7 as far as to see that it can be undone: each & begins what
 * a - ends, with a multiple of 16 bits and less than 6 to fill up. */
static void check_utf7(const char *at)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
				     "qrstuvwxyz0123456789+,";

	while ((at = strchr(at, '&')) != NULL) {
		size_t len = strspn(at + 1, digits);

		ASSERT(at[len + 1] == '-' && len * 6 % 16 < 6);
		at += len + 2;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mail_location location = { .subscriptions = (char[]){ "subs" } };
	struct mailbox_naming naming = { .prefix = NULL };
	struct str folder = STR_INIT;
	struct err err = { { 0 } };
	char *name;

	if (size == 0)
		return 0;
	location.layout = data[0] & 1 ? MAIL_LAYOUT_FS : MAIL_LAYOUT_MAILDIR;
	location.utf8 = data[0] & 2;
	naming.separator = separators[data[0] >> 2 & 3];
	naming.prefix = data[0] & 16 ? "P/" : NULL;
	name = mem_strndup((const char *)data + 1, size - 1);
	if (mailbox_name_folder(&location, &naming, name, &folder, &err) < 0) {
		ASSERT(err.text[0] != '\0');
	} else if (mailbox_name_is_inbox(&naming, name, strlen(name))) {
		ASSERT(folder.len == 0);
	} else {
		check_folder(&location, str_c(&folder));
		if (!location.utf8)
			check_utf7(str_c(&folder));
	}
	str_free(&folder);
	mem_free(&name);
	return 0;
}
