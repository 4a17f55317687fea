#include "lib/smtp/address.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "lib/ascii.h"
#include "lib/plain.h"
#include "lib/utf8.h"

#define DOMAIN_MAX 255

/* The text not read yet. */
struct smtp_address_input {
	const char *at, *end;
};

static bool smtp_address_is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

enum {
	CLASS_ATEXT = 1, /* of an atom (RFC 5322 3.2.3) */
	CLASS_LABEL = 2, /* of a domain's label */
};

/* For each byte its classes. UTF-8 is in both (RFC 6531 3.3). */
static const unsigned char smtp_address_classes[256] = {
	['0' ... '9'] = CLASS_ATEXT | CLASS_LABEL,
	['A' ... 'Z'] = CLASS_ATEXT | CLASS_LABEL,
	['a' ... 'z'] = CLASS_ATEXT | CLASS_LABEL,
	[0x80 ... 0xff] = CLASS_ATEXT | CLASS_LABEL,
	['-'] = CLASS_ATEXT | CLASS_LABEL,
	['_'] = CLASS_ATEXT | CLASS_LABEL,
	['!'] = CLASS_ATEXT, ['#'] = CLASS_ATEXT, ['$'] = CLASS_ATEXT,
	['%'] = CLASS_ATEXT, ['&'] = CLASS_ATEXT, ['\''] = CLASS_ATEXT,
	['*'] = CLASS_ATEXT, ['+'] = CLASS_ATEXT, ['/'] = CLASS_ATEXT,
	['='] = CLASS_ATEXT, ['?'] = CLASS_ATEXT, ['^'] = CLASS_ATEXT,
	['`'] = CLASS_ATEXT, ['{'] = CLASS_ATEXT, ['|'] = CLASS_ATEXT,
	['}'] = CLASS_ATEXT, ['~'] = CLASS_ATEXT,
};

static bool smtp_address_is_ascii(const char *text, size_t len)
{
	size_t i;

	for (i = plain_len(text, len); i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

static bool smtp_address_next_is(const struct smtp_address_input *in, char c)
{
	return in->at < in->end && *in->at == c;
}

static bool smtp_address_take(struct smtp_address_input *in, char c)
{
	if (!smtp_address_next_is(in, c))
		return false;
	in->at++;
	return true;
}

/* Takes runs of bytes of the class, with single dots between them. */
static bool smtp_address_take_dotted(struct smtp_address_input *in, int class)
{
	const char *at, *start;

	do {
		start = at = in->at;
		while (at < in->end &&
		       (smtp_address_classes[(unsigned char)*at] & class))
			at++;
		in->at = at;
		if (at == start)
			return false;
	} while (smtp_address_take(in, '.'));
	return true;
}

/* Whether the local part needs no quotes. */
static bool smtp_address_is_dot_string(const char *localpart, size_t len)
{
	struct smtp_address_input in = { localpart, localpart + len };

	return smtp_address_take_dotted(&in, CLASS_ATEXT) && in.at == in.end;
}

static bool smtp_address_ip_is_valid(int family, const char *text, size_t len)
{
	char copy[INET6_ADDRSTRLEN] = "";
	struct in6_addr addr;

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	return inet_pton(family, copy, &addr) == 1;
}

/* What stands within the brackets of an address literal (RFC 5321 4.1.3). */
static bool smtp_address_literal_is_valid(const char *text, size_t len)
{
	const char *colon = memchr(text, ':', len);
	size_t tag_len, i;

	if (colon == NULL)
		return smtp_address_ip_is_valid(AF_INET, text, len);
	tag_len = (size_t)(colon - text);
	if (tag_len == 4 && strncasecmp(text, "IPv6", 4) == 0)
		return smtp_address_ip_is_valid(AF_INET6, colon + 1,
						len - tag_len - 1);
	for (i = 0; i < tag_len; i++)
		if (!ascii_is_alnum(text[i]) &&
		    text[i] != '-')
			return false;
	return tag_len > 0 && text[tag_len - 1] != '-' && tag_len + 1 < len;
}

static int smtp_address_take_literal(struct smtp_address_input *in,
				     struct err *err)
{
	const char *start = ++in->at;

	while (in->at < in->end && *in->at > ' ' && *in->at < 0x7f &&
	       *in->at != '[' && *in->at != '\\' && *in->at != ']')
		in->at++;
	if (!smtp_address_next_is(in, ']') ||
	    !smtp_address_literal_is_valid(start, (size_t)(in->at - start)))
		return err_set(err, "Invalid address literal");
	in->at++;
	return 0;
}

static int smtp_address_take_domain(struct smtp_address_input *in,
				    struct err *err)
{
	const char *start = in->at;

	if (smtp_address_next_is(in, '[')) {
		if (smtp_address_take_literal(in, err) < 0)
			return -1;
	} else if (!smtp_address_take_dotted(in, CLASS_LABEL)) {
		return err_set(err, "Invalid domain");
	}
	if (in->at - start > DOMAIN_MAX)
		return err_set(err, "Domain too long");
	return 0;
}

/* Appends the contents of the quoted string to localpart. */
static int smtp_address_take_quoted(struct smtp_address_input *in,
				    struct str *localpart, struct err *err)
{
	in->at++;
	while (in->at < in->end && *in->at != '"') {
		bool pair = smtp_address_take(in, '\\');

		if (in->at == in->end ||
		    smtp_address_is_control((unsigned char)*in->at) ||
		    (pair && (unsigned char)*in->at >= 0x80))
			break;
		str_putc(localpart, *in->at++);
	}
	if (!smtp_address_take(in, '"'))
		return err_set(err, "Invalid quoted local part");
	return 0;
}

/* Takes bytes of CLASS_ATEXT, with dots anywhere. */
static void smtp_address_take_dots(struct smtp_address_input *in)
{
	while (in->at < in->end &&
	       (*in->at == '.' || (smtp_address_classes[(unsigned char)*in->at] &
				   CLASS_ATEXT)))
		in->at++;
}

/* *odd_r: it needs quotes, and has none. */
static int smtp_address_take_localpart(struct arena *arena,
				       struct smtp_address_input *in,
				       unsigned flags, const char **localpart_r,
				       bool *odd_r, struct err *err)
{
	const char *start = in->at;
	struct str quoted = STR_INIT;
	int ret;

	*odd_r = false;
	if (!smtp_address_next_is(in, '"')) {
		*odd_r = !smtp_address_take_dotted(in, CLASS_ATEXT);
		if (*odd_r && (flags & SMTP_PATH_ALLOW_DOTS) != 0)
			smtp_address_take_dots(in);
		else if (*odd_r)
			in->at = start;
		if (in->at == start)
			return err_set(err, "Invalid local part");
		*localpart_r = arena_strndup(arena, start,
					     (size_t)(in->at - start));
		return 0;
	}
	ret = smtp_address_take_quoted(in, &quoted, err);
	*localpart_r = arena_strdup(arena, str_c(&quoted));
	str_free(&quoted);
	return ret;
}

/* "@a,@b:" */
static int smtp_address_take_route(struct smtp_address_input *in,
				   struct err *err)
{
	if (!smtp_address_next_is(in, '@'))
		return 0;
	do {
		if (!smtp_address_take(in, '@'))
			return err_set(err, "Invalid source route");
		if (smtp_address_take_domain(in, err) < 0)
			return -1;
	} while (smtp_address_take(in, ','));
	if (!smtp_address_take(in, ':'))
		return err_set(err, "Missing ':' behind source route");
	return 0;
}

/* How much smtp_address_write() writes. */
static size_t smtp_address_written_len(const struct smtp_address *address)
{
	const char *localpart = address->localpart, *c;
	size_t len = strlen(localpart);

	if (!smtp_address_is_dot_string(localpart, len)) {
		len += strlen("\"\"");
		for (c = localpart; *c != '\0'; c++)
			len += *c == '"' || *c == '\\';
	}
	if (address->domain != NULL)
		len += strlen("@") + strlen(address->domain);
	return len;
}

/* The raw form as smtp_address_write() has it. */
static void smtp_address_set_raw(struct arena *arena,
				 struct smtp_address *address)
{
	struct str raw = STR_INIT;

	smtp_address_write(&raw, address->localpart, address->domain);
	address->raw = arena_strndup(arena, str_c(&raw), raw.len);
	str_free(&raw);
}

/* Fills in what follows from the raw form and the place of the domain in it
 * (NULL: there is none), and checks the address as a whole. */
static int smtp_address_finish(struct arena *arena, const char *raw, size_t len,
			       const char *domain,
			       struct smtp_address *address, struct err *err)
{
	address->raw = arena_strndup(arena, raw, len);
	address->domain = domain != NULL ? address->raw + (domain - raw) : NULL;
	address->utf8 = !smtp_address_is_ascii(raw, len);
	if (address->utf8 && !utf8_is_valid(raw, len))
		return err_set(err, "Address is not UTF-8");
	if (address->localpart[0] == '\0' && domain == NULL)
		return err_set(err, "Empty local part");
	/* Quotes and backslashes at most double it. */
	if (2 * len + 2 > SMTP_MAILBOX_MAX &&
	    smtp_address_written_len(address) > SMTP_MAILBOX_MAX)
		return err_set(err, "Address too long");
	return 0;
}

static int smtp_address_take_mailbox(struct arena *arena,
				     struct smtp_address_input *in,
				     unsigned flags,
				     struct smtp_address *address_r,
				     struct err *err)
{
	const char *raw = in->at, *domain = NULL;
	bool odd;

	if (smtp_address_take_localpart(arena, in, flags,
					&address_r->localpart, &odd, err) < 0)
		return -1;
	if (smtp_address_take(in, '@')) {
		domain = in->at;
		if (smtp_address_take_domain(in, err) < 0)
			return -1;
	} else if ((flags & SMTP_PATH_DOMAIN_OPTIONAL) == 0) {
		return err_set(err, "Missing domain");
	}
	if (smtp_address_finish(arena, raw, (size_t)(in->at - raw), domain,
				address_r, err) < 0)
		return -1;
	if (odd)
		smtp_address_set_raw(arena, address_r);
	return 0;
}

static const struct smtp_address smtp_address_null = { .localpart = "",
						       .raw = "" };

/* What follows '<', with the '>'. */
static int smtp_address_take_path(struct arena *arena,
				  struct smtp_address_input *in, unsigned flags,
				  struct smtp_address *address_r,
				  struct err *err)
{
	if ((flags & SMTP_PATH_ALLOW_NULL) != 0 && smtp_address_take(in, '>')) {
		*address_r = smtp_address_null;
		return 0;
	}
	if (smtp_address_next_is(in, '>'))
		return err_set(err, "Empty path not allowed");
	if (smtp_address_take_route(in, err) < 0 ||
	    smtp_address_take_mailbox(arena, in, flags, address_r, err) < 0)
		return -1;
	if (!smtp_address_take(in, '>'))
		return err_set(err, "Missing '>' at end of path");
	return 0;
}

/* The same for what is no mailbox. */
static bool smtp_address_take_broken(struct arena *arena,
				     struct smtp_address_input *in,
				     struct smtp_address *address_r)
{
	const char *start = in->at;
	size_t len;

	while (in->at < in->end && *in->at != '>' && *in->at != ' ' &&
	       !smtp_address_is_control((unsigned char)*in->at))
		in->at++;
	len = (size_t)(in->at - start);
	if (len == 0 || len > SMTP_MAILBOX_MAX || !utf8_is_valid(start, len) ||
	    !smtp_address_take(in, '>'))
		return false;
	*address_r = smtp_address_null;
	address_r->raw = arena_strndup(arena, start, len);
	address_r->utf8 = !smtp_address_is_ascii(start, len);
	return true;
}

static int smtp_address_take_any(struct arena *arena,
				 struct smtp_address_input *in, unsigned flags,
				 struct smtp_address *address_r,
				 struct err *err)
{
	struct smtp_address_input start;
	struct err why;

	if (!smtp_address_take(in, '<')) {
		if ((flags & SMTP_PATH_WITHOUT_BRACKETS) == 0)
			return err_set(err, "Missing '<' at start of path");
		return smtp_address_take_mailbox(arena, in, flags, address_r,
						 err);
	}
	start = *in;
	if (smtp_address_take_path(arena, in, flags, address_r, &why) == 0)
		return 0;
	*in = start;
	if ((flags & SMTP_PATH_ALLOW_BROKEN) != 0 &&
	    smtp_address_take_broken(arena, in, address_r))
		return 0;
	return err_set(err, "%s", why.text);
}

int smtp_path_parse(struct arena *arena, const char *text, size_t len,
		    unsigned flags, struct smtp_address *address_r,
		    size_t *rest_r, struct err *err)
{
	struct smtp_address_input in = { text, text + len };

	if ((flags & SMTP_PATH_SPACE_BEFORE) != 0)
		while (smtp_address_take(&in, ' ') ||
		       smtp_address_take(&in, '\t'))
			;
	if (smtp_address_take_any(arena, &in, flags, address_r, err) < 0)
		return -1;
	if (in.at < in.end && *in.at != ' ')
		return err_set(err, "Invalid character behind path");
	*rest_r = (size_t)(in.at - text);
	return 0;
}

/* The '@' before the domain, NULL when there is none. Address literals hold no
 * brackets, but may hold an '@'. */
static const char *smtp_address_find_domain(const char *text)
{
	const char *bracket = strrchr(text, '[');

	if (bracket != NULL && bracket > text && bracket[-1] == '@' &&
	    text[strlen(text) - 1] == ']')
		return bracket - 1;
	return strrchr(text, '@');
}

/* user[@domain] with the local part as it is. */
static int smtp_address_parse_unquoted(struct arena *arena, const char *text,
				       struct smtp_address *address_r,
				       struct err *err)
{
	const char *at = smtp_address_find_domain(text);
	const char *end = text + strlen(text), *c;
	struct smtp_address_input in = { at != NULL ? at + 1 : end, end };

	if (at == text)
		return err_set(err, "Empty local part");
	for (c = text; *c != '\0'; c++)
		if (smtp_address_is_control((unsigned char)*c))
			return err_set(err, "Control byte in address");
	if (at != NULL && smtp_address_take_domain(&in, err) < 0)
		return -1;
	if (in.at < end)
		return err_set(err, "Invalid character in domain");
	address_r->localpart = arena_strndup(
		arena, text, (size_t)((at != NULL ? at : end) - text));
	return smtp_address_finish(arena, text, (size_t)(end - text),
				   at != NULL ? at + 1 : NULL, address_r, err);
}

static int smtp_address_parse_quoted(struct arena *arena, const char *text,
				     struct smtp_address *address_r,
				     struct err *err)
{
	struct smtp_address_input in = { text, text + strlen(text) };

	if (smtp_address_take_mailbox(arena, &in, SMTP_PATH_DOMAIN_OPTIONAL,
				      address_r, err) < 0)
		return -1;
	if (in.at < in.end)
		return err_set(err, "Invalid character behind address");
	return 0;
}

int smtp_address_parse(struct arena *arena, const char *text,
		       struct smtp_address *address_r, struct err *err)
{
	int ret;

	if (*text == '"')
		ret = smtp_address_parse_quoted(arena, text, address_r, err);
	else
		ret = smtp_address_parse_unquoted(arena, text, address_r, err);
	if (ret == 0)
		smtp_address_set_raw(arena, address_r);
	return ret;
}

void smtp_address_write(struct str *out, const char *localpart,
			const char *domain)
{
	size_t len = strlen(localpart);
	const char *c;

	if (len == 0 && domain == NULL)
		return;
	if (smtp_address_is_dot_string(localpart, len)) {
		str_append(out, localpart, len);
	} else {
		str_putc(out, '"');
		for (c = localpart; *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				str_putc(out, '\\');
			str_putc(out, *c);
		}
		str_putc(out, '"');
	}
	if (domain != NULL) {
		str_putc(out, '@');
		str_puts(out, domain);
	}
}

size_t smtp_address_split_detail(const char *localpart, const char *delimiters,
				 const char **detail_r)
{
	size_t len = strcspn(localpart, delimiters);

	if (len == 0 || localpart[len] == '\0') {
		*detail_r = NULL;
		return strlen(localpart);
	}
	*detail_r = localpart + len + 1;
	return len;
}
