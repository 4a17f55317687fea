#include "t/hostile_names.h"

#include <stdio.h>

static const char *const words[] = {
	"", "'", "''", "'''", "\\", "\\\\", "\\'", "'\\", "\\\\'", "\"",
	"\\\"", "\"\\", "`", ";", "--", "-- ", "/*", "*/", "#", "\n", "\r\n",
	"\t", "\x01", "\x7f", "%", "%u", "%%", "%{user}", "%27", "%5c'",
	"$1", "$$", "$a$", "?", "?1", ":u", "@u", "{u}", "{u:String}", "[",
	"]", "(", ")", ",", "&", "&&", "=", "|", "<", ">", "^", "~", "!", "*",
	"+", " ", "_", "{", "}", "\xc3\xa9", "\xef\xbc\x87", "\xe2\x80\x99",
	"\\x27", "\\u0027",
};
static const char *const tails[] = {
	"", "x", " OR 1=1", " OR '1'='1", "; DROP TABLE t; --",
	") UNION SELECT 'y", "\",\"a\":\"b", "&or=(a.eq.b)",
};
#define WORDS (sizeof(words) / sizeof(*words))
#define TAILS (sizeof(tails) / sizeof(*tails))
_Static_assert(WORDS * TAILS == HOSTILE_NAMES, "count them");

const char *hostile_name(unsigned index)
{
	static char name[128];

	snprintf(name, sizeof(name), "joe%s%s", words[index % WORDS],
		 tails[index / WORDS]);
	return name;
}
