/* A header of mail: its From and the addresses there. */
#include <string.h>

#include "backends/local/mail/address.h"
#include "backends/local/mail/field.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str value = STR_INIT, local = STR_INIT, domain = STR_INIT;

	if (mail_field_find(&value, (const char *)data, size, "From")) {
		ASSERT(value.len <= size);
		ASSERT(memchr(str_c(&value), '\n', value.len) == NULL);
		ASSERT(strlen(str_c(&value)) == value.len);
	}
	if (mail_address_first(str_c(&value), &local, &domain)) {
		ASSERT(local.len > 0 && domain.len > 0);
		ASSERT(local.len + domain.len < value.len + 1);
	}
	str_free(&value);
	str_free(&local);
	str_free(&domain);
	return 0;
}
