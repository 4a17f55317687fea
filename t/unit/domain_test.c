#include "lib/domain.h"

#include <criterion/criterion.h>
#include <string.h>

#define L15 "aaaaaaaaaaaaaaa"
#define L63 L15 L15 L15 L15 "aaa"

static const struct {
	const char *text;
	bool valid;
} names[] = {
	{ "example.org", true },
	{ "Mail-1.example.org.", true },
	{ "a", true },
	{ "_lmtp._tcp.example.org", true },
	{ "192.0.2.1", true },
	{ L63 ".org", true },
	{ L63 "." L63 "." L63 "." L63, true },
	{ "", false },
	{ ".", false },
	{ ".example.org", false },
	{ "example..org", false },
	{ "example.org..", false },
	{ L63 "a.org", false },
	{ L63 "." L63 "." L63 "." L63 ".", false },
	{ "2001:db8::1", false },
	{ "example.org:24", false },
	{ "a b", false },
	{ "a\nb", false },
	{ "a/b", false },
	{ "m\303\274ller.example", false },
};

Test(domain, names)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_assert_eq(domain_is_valid(names[i].text,
					     strlen(names[i].text)),
			     names[i].valid, "'%s'", names[i].text);
}

Test(domain, only_len_bytes_count)
{
	cr_assert(domain_is_valid("a.b c", 3));
	cr_assert_not(domain_is_valid("a\0b", 3));
}
