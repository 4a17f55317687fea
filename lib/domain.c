#include "lib/domain.h"

#include "lib/ascii.h"

#define DOMAIN_MAX 255
#define LABEL_MAX 63

static bool domain_is_label(char c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_';
}

bool domain_is_valid(const char *text, size_t len)
{
	size_t label = 0, i;

	if (len == 0 || len > DOMAIN_MAX)
		return false;
	for (i = 0; i < len; i++) {
		if (text[i] == '.' && label > 0)
			label = 0;
		else if (!domain_is_label(text[i]) || ++label > LABEL_MAX)
			return false;
	}
	return true;
}
