#include "backends/local/mailbox_name.h"

#include <stdint.h>
#include <strings.h>

#include "lib/utf8.h"

#define INBOX "INBOX"

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* Bits of UTF-16 on their way to base64. */
struct utf7_bits {
	struct str *out;
	uint32_t bits;
	unsigned count;
};

static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f;
}

static void put_unit(struct utf7_bits *bits, uint32_t unit)
{
	bits->bits = bits->bits << 16 | unit;
	bits->count += 16;
	while (bits->count >= 6) {
		bits->count -= 6;
		str_putc(bits->out,
			 base64_digits[bits->bits >> bits->count & 0x3f]);
	}
}

static void put_point(struct utf7_bits *bits, uint32_t point)
{
	if (point < 0x10000) {
		put_unit(bits, point);
		return;
	}
	point -= 0x10000;
	put_unit(bits, 0xd800 | point >> 10);
	put_unit(bits, 0xdc00 | (point & 0x3ff));
}

static uint32_t read_point(const char *text, size_t len)
{
	uint32_t point = (uint8_t)text[0] & (len == 1 ? 0x7f : 0xff >> (len + 1));
	size_t i;

	for (i = 1; i < len; i++)
		point = point << 6 | ((uint8_t)text[i] & 0x3f);
	return point;
}

/* Appends the start of text that is not printable ASCII; returns its length. */
static size_t put_shifted(struct str *out, const char *text, size_t len)
{
	struct utf7_bits bits = { out, 0, 0 };
	size_t at = 0, step;

	str_putc(out, '&');
	while (at < len && !is_plain(text[at])) {
		step = utf8_char_len(text + at, len - at);
		put_point(&bits, read_point(text + at, step));
		at += step;
	}
	if (bits.count > 0)
		str_putc(out, base64_digits[bits.bits << (6 - bits.count) & 0x3f]);
	str_putc(out, '-');
	return at;
}

static void put_utf7(struct str *out, const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (!is_plain(text[at])) {
			at += put_shifted(out, text + at, len - at);
			continue;
		}
		str_putc(out, text[at]);
		if (text[at] == '&')
			str_putc(out, '-');
		at++;
	}
}

static bool is_in_maildir(const char *part)
{
	static const char *const names[] = {
		"cur", "new", "tmp", "maildirfolder", "maildirsize",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(part, names[i]) == 0)
			return true;
	return strncmp(part, "dovecot.", 8) == 0 ||
	       strncmp(part, "dovecot-", 8) == 0;
}

/* What is hidden may be a program's own, such as ~/.ssh: a file would become a
 * mailbox, or the other way round. */
static bool is_beside_mbox(const char *part)
{
	size_t len = strlen(part);

	return part[0] == '.' ||
	       (len >= 5 && strcmp(part + len - 5, ".lock") == 0);
}

/* In the fs layout, what else there is: a folder of that name would be in its
 * way. */
static bool is_reserved(const struct mail_location *location, const char *part)
{
	size_t len = strlen(location->subscriptions);

	if (strncmp(part, location->subscriptions, len) == 0 &&
	    (part[len] == '\0' || strcmp(part + len, ".lock") == 0))
		return true;
	return location->format == MAIL_FORMAT_MBOX ? is_beside_mbox(part)
						    : is_in_maildir(part);
}

static const char *problem_of_part(const struct mail_location *location,
				   char separator, const char *part, size_t len)
{
	if (len == 0)
		return "a part of it is empty";
	if (memchr(part, '/', len) != NULL)
		return "there must be no / in it";
	if (location->layout == MAIL_LAYOUT_MAILDIR)
		return separator != '.' && memchr(part, '.', len) != NULL
			       ? "there must be no . in it" : NULL;
	if (part[0] == '.' && (len == 1 || (len == 2 && part[1] == '.')))
		return "it has . or .. as a part";
	return NULL;
}

static const char *put_part(const struct mail_location *location,
			    char separator, const char *part, size_t len,
			    struct str *folder)
{
	const char *problem = problem_of_part(location, separator, part, len);
	size_t start;

	if (problem != NULL)
		return problem;
	if (location->layout == MAIL_LAYOUT_MAILDIR)
		str_putc(folder, '.');
	else if (folder->len > 0)
		str_putc(folder, '/');
	start = folder->len;
	if (location->utf8)
		str_append(folder, part, len);
	else
		put_utf7(folder, part, len);
	if (location->layout == MAIL_LAYOUT_MAILDIR)
		return folder->len > MAILBOX_PART_MAX ? "it is too long" : NULL;
	if (folder->len - start > MAILBOX_PART_MAX ||
	    folder->len > MAILBOX_NAME_MAX)
		return "it is too long";
	return is_reserved(location, folder->data + start)
		       ? "a part of it has a meaning of its own" : NULL;
}

static const char *problem_of_name(const char *name, size_t len)
{
	size_t i;

	if (len == 0)
		return "it is empty";
	if (len > MAILBOX_NAME_MAX)
		return "it is too long";
	if (!utf8_is_valid(name, len))
		return "it is not UTF-8";
	if (name[0] == '~')
		return "it begins with ~";
	for (i = 0; i < len; i++)
		if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
			return "there are control characters in it";
	return NULL;
}

bool mailbox_name_is_inbox(const struct mailbox_naming *naming, const char *text,
			   size_t len)
{
	if (len != strlen(INBOX))
		return false;
	if (naming->prefix != NULL && *naming->prefix != '\0')
		return memcmp(text, INBOX, len) == 0;
	return strncasecmp(text, INBOX, len) == 0;
}

static const char *put_name(const struct mail_location *location,
			    const struct mailbox_naming *naming,
			    const char *name, struct str *folder)
{
	const char *problem = problem_of_name(name, strlen(name)), *part;
	char separator = mailbox_name_separator(location, naming);
	char separators[2] = { separator, '\0' };
	size_t len;

	while (problem == NULL) {
		len = strcspn(name, separators);
		part = name;
		if (folder->len == 0 && mailbox_name_is_inbox(naming, name, len))
			part = INBOX;
		problem = put_part(location, separator, part, len, folder);
		if (name[len] == '\0')
			break;
		name += len + 1;
	}
	return problem;
}

char mailbox_name_separator(const struct mail_location *location,
			    const struct mailbox_naming *naming)
{
	if (naming->separator != '\0')
		return naming->separator;
	return location->layout == MAIL_LAYOUT_FS ? '/' : '.';
}

const char *mailbox_name_listed(const struct mail_location *location,
				const struct mailbox_naming *naming,
				const char *name, struct arena *arena)
{
	char separators[2] = { mailbox_name_separator(location, naming) };
	size_t len = strcspn(name, separators);

	if (!mailbox_name_is_inbox(naming, name, len))
		return name;
	return arena_concat(arena, INBOX, name + len, "");
}

int mailbox_name_folder(const struct mail_location *location,
			const struct mailbox_naming *naming, const char *name,
			struct str *folder, struct err *err)
{
	struct str shown = STR_INIT;
	const char *problem;

	if (mailbox_name_is_inbox(naming, name, strlen(name)))
		return 0;
	problem = put_name(location, naming, name, folder);
	if (problem == NULL)
		return 0;
	str_put_escaped(&shown, name, strnlen(name, MAILBOX_PART_MAX));
	err_put(err, "no mailbox can be called \"%s\": %s", str_c(&shown),
		problem);
	str_free(&shown);
	return -1;
}
