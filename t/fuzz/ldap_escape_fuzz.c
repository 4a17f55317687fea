/* Any value in a filter and in a DN: they stay what they are, and no byte of
 * the value means anything. */
#include <stdlib.h>
#include <string.h>

#include "lib/panic.h"
#include "passdb/ldap/conn.h"
#include "passdb/ldap/escape.h"
#include "t/fuzz/fuzz.h"

/* Undoes \HH. */
static void check_same(const struct str *text, size_t from,
		       const uint8_t *data, size_t size)
{
	size_t i = from, j;
	unsigned byte;

	for (j = 0; j < size; j++) {
		ASSERT(i < text->len);
		byte = (unsigned char)text->data[i++];
		if (byte == '\\') {
			char hex[3] = { text->data[i], text->data[i + 1] };

			byte = (unsigned)strtoul(hex, NULL, 16);
			i += 2;
		}
		ASSERT(byte == data[j]);
	}
	ASSERT(i == text->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = STR_INIT;
	struct err err;

	if (size > 1024)
		return 0;
	str_puts(&text, "(&(a=b)(uid=");
	str_append(&text, data, size);
	(void)ldap_escape_filter(&text, 12, &err);
	check_same(&text, 12, data, size);
	ASSERT(strpbrk(text.data + 12, "()*&|!") == NULL);
	str_puts(&text, "))");
	ASSERT(ldap_conn_check_filter(text.data, &err) == 0);
	str_clear(&text);
	str_puts(&text, "uid=x");
	str_append(&text, data, size);
	(void)ldap_escape_dn(&text, 5, &err);
	check_same(&text, 5, data, size);
	ASSERT(strpbrk(text.data + 5, ",+=\"<>;# ") == NULL);
	str_puts(&text, ",dc=org");
	ASSERT(ldap_conn_check_dn(text.data, &err) == 0);
	str_free(&text);
	return 0;
}
