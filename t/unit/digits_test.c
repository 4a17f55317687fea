#include "lib/digits.h"

#include <criterion/criterion.h>

Test(digits, hex)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	int c, sum = 0;

	for (c = 0; c < 16; c++)
		cr_assert_eq(hex_digit(digits[c]), c);
	for (c = 10; c < 16; c++)
		cr_assert_eq(hex_digit(digits[c + 6]), c);
	for (c = -128; c < 128; c++)
		sum += hex_digit((char)c) >= 0;
	cr_assert_eq(sum, 22);
}

Test(digits, base64)
{
	int c, sum = 0;

	for (c = 0; c < 26; c++) {
		cr_assert_eq(base64_digit((char)('A' + c)), c);
		cr_assert_eq(base64_digit((char)('a' + c)), 26 + c);
	}
	for (c = 0; c < 10; c++)
		cr_assert_eq(base64_digit((char)('0' + c)), 52 + c);
	cr_assert_eq(base64_digit('+'), 62);
	cr_assert_eq(base64_digit('/'), 63);
	for (c = -128; c < 128; c++)
		sum += base64_digit((char)c) >= 0;
	cr_assert_eq(sum, 64);
}
