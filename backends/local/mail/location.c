#include "backends/local/mail/location.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/str.h"

/* A mailbox and a file in it have to fit behind it. */
#define ROOT_MAX (PATH_MAX - 2 * 1024)

static const char *const other_formats[] = {
	"sdbox", "mdbox", "dbox", "obox", "imapc", "pop3c",
};

static const char *const indifferent_keys[] = {
	"INDEX",     "INDEXPVT",    "INDEXCACHE",  "ITERINDEX",
	"LISTINDEX", "VOLATILEDIR", "NO-NOSELECT", "NO-FS-VALIDATION",
	"ALT",	     "ALTNOCHECK",
};

static const char *const refused_keys[] = {
	"DIRNAME",
	"FULLDIRNAME",
	"MAILBOXDIR",
	"BROKENCHAR",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct location_parser {
	struct mail_location *location;
	const char *value, *home;
	const char *at; /* what is not parsed yet */
	bool inbox_is_folder;
	struct err *err;
};

static bool is_one_of(const char *key, const char *const *keys, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

/* Appends what is in front of the next colon that stands alone. */
static void next_piece(struct location_parser *parser, struct str *piece)
{
	const char *at = parser->at;

	str_clear(piece);
	for (; *at != '\0'; at++) {
		if (*at == ':' && at[1] == ':')
			at++;
		else if (*at == ':')
			break;
		str_putc(piece, *at);
	}
	parser->at = *at == ':' ? at + 1 : at;
}

static int fail(struct location_parser *parser, const char *text,
		const char *detail)
{
	return err_set(parser->err, "mail location %.200s: %s%.200s",
		       parser->value, text, detail);
}

static bool has_dots(const char *path)
{
	const char *at;
	size_t len;

	for (at = path; *at != '\0'; at += len + (at[len] == '/')) {
		len = strcspn(at, "/");
		if ((len == 1 && at[0] == '.') ||
		    (len == 2 && at[0] == '.' && at[1] == '.'))
			return true;
	}
	return false;
}

/* Puts the absolute path in the place of *path_r. */
static int take_path(struct location_parser *parser, const char *path,
		     char **path_r)
{
	const char *home = "";
	size_t len;

	if (path[0] == '~') {
		if (path[1] != '/' && path[1] != '\0')
			return fail(parser, "only the user's own home can be "
				    "named by ~, not ", path);
		if (parser->home == NULL)
			return fail(parser, "the userdb knows no home for ",
				    path);
		home = parser->home;
		path++;
	}
	mem_free(path_r);
	*path_r = mem_printf("%s%s", home, path);
	for (len = strlen(*path_r); len > 1 && (*path_r)[len - 1] == '/'; len--)
		(*path_r)[len - 1] = '\0';
	if ((*path_r)[0] != '/')
		return fail(parser, "not an absolute path: ", *path_r);
	if (has_dots(*path_r))
		return fail(parser, "there must be no . or .. in a path: ",
			    *path_r);
	if (len > ROOT_MAX)
		return fail(parser, "too long a path: ", *path_r);
	return 0;
}

static int take_layout(struct location_parser *parser, const char *layout)
{
	if (strcasecmp(layout, "Maildir++") == 0)
		parser->location->layout = MAIL_LAYOUT_MAILDIR;
	else if (strcasecmp(layout, "fs") == 0)
		parser->location->layout = MAIL_LAYOUT_FS;
	else
		return fail(parser, "LAYOUT has to be maildir++ or fs (for "
			    "others, see lda_command), not ", layout);
	/* Dovecot 2.3 compares without regard to case when it looks for the
	 * layout, and with it when it decides where INBOX is. */
	parser->inbox_is_folder = strcmp(layout, "maildir++") != 0 &&
				  strcmp(layout, "fs") != 0;
	return 0;
}

static int take_subscriptions(struct location_parser *parser, const char *name)
{
	char **name_r = &parser->location->subscriptions;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL ||
	    strlen(name) > NAME_MAX - sizeof(".lock"))
		return fail(parser, "SUBSCRIPTIONS has to be the name of a "
			    "file, not ", name);
	mem_free(name_r);
	*name_r = mem_strdup(name);
	return 0;
}

static int take_key(struct location_parser *parser, char *key)
{
	struct mail_location *location = parser->location;
	char *equals = strchr(key, '=');
	const char *value = equals != NULL ? equals + 1 : "";

	if (equals != NULL)
		*equals = '\0';
	if (strcmp(key, "INBOX") == 0)
		return take_path(parser, value, &location->inbox);
	if (strcmp(key, "CONTROL") == 0)
		return take_path(parser, value, &location->control);
	if (strcmp(key, "LAYOUT") == 0)
		return take_layout(parser, value);
	if (strcmp(key, "SUBSCRIPTIONS") == 0)
		return take_subscriptions(parser, value);
	if (strcmp(key, "UTF-8") == 0)
		location->utf8 = true;
	else if (is_one_of(key, refused_keys, COUNT(refused_keys)))
		return fail(parser, "waypost does not save into such a tree by "
			    "itself: see lda_command; key ", key);
	else if (!is_one_of(key, indifferent_keys, COUNT(indifferent_keys)))
		return fail(parser, "unknown key ", key);
	return 0;
}

static int take_format(struct location_parser *parser, const char *format)
{
	struct mail_location *location = parser->location;

	if (strcmp(format, "maildir") == 0)
		return 0;
	if (strcmp(format, "mbox") == 0) {
		location->format = MAIL_FORMAT_MBOX;
		location->layout = MAIL_LAYOUT_FS;
		return 0;
	}
	if (is_one_of(format, other_formats, COUNT(other_formats)))
		return fail(parser, "waypost itself saves into maildir: and "
			    "mbox: alone; another program can deliver into "
			    "others, see lda_command", "");
	return fail(parser, "say maildir:PATH, such as maildir:~/Maildir", "");
}

static const char *inbox_below_root(const struct location_parser *parser)
{
	if (parser->location->format == MAIL_FORMAT_MBOX)
		return "/inbox";
	if (!parser->inbox_is_folder)
		return "";
	return parser->location->layout == MAIL_LAYOUT_FS ? "/INBOX" : "/.INBOX";
}

static int set_defaults(struct location_parser *parser)
{
	struct mail_location *location = parser->location;
	bool mbox = location->format == MAIL_FORMAT_MBOX;

	if (mbox && location->layout != MAIL_LAYOUT_FS)
		return fail(parser, "mbox has no other LAYOUT than fs", "");
	if (location->inbox == NULL)
		location->inbox = mem_printf("%s%s", location->root,
					     inbox_below_root(parser));
	if (location->control == NULL)
		location->control = mem_strdup(location->root);
	if (location->subscriptions == NULL)
		location->subscriptions = mem_strdup(mbox ? ".subscriptions"
							  : "subscriptions");
	return 0;
}

static int parse_all(struct location_parser *parser, struct str *piece)
{
	struct mail_location *location = parser->location;

	next_piece(parser, piece);
	if (take_format(parser, str_c(piece)) < 0)
		return -1;
	next_piece(parser, piece);
	if (piece->len == 0 || strncmp(piece->data, "INBOX=", 6) == 0)
		return fail(parser, "there is no path behind the format", "");
	location->in_home = piece->data[0] == '~';
	if (take_path(parser, piece->data, &location->root) < 0)
		return -1;
	while (*parser->at != '\0') {
		next_piece(parser, piece);
		if (piece->len > 0 && take_key(parser, piece->data) < 0)
			return -1;
	}
	return set_defaults(parser);
}

int mail_location_parse(struct mail_location *location, const char *value,
			const char *home, struct err *err)
{
	struct location_parser parser = { location, value, home, value, false, err };
	struct str piece = STR_INIT;
	int status;

	memset(location, 0, sizeof(*location));
	status = parse_all(&parser, &piece);
	if (status < 0)
		mail_location_free(location);
	str_free(&piece);
	return status;
}

void mail_location_free(struct mail_location *location)
{
	mem_free(&location->root);
	mem_free(&location->inbox);
	mem_free(&location->control);
	mem_free(&location->subscriptions);
}
