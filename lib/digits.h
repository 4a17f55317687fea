/* What single digits of text are worth. */
#ifndef LIB_DIGITS_H
#define LIB_DIGITS_H

/* Of a hexadecimal one, in either case: 0 to 15; -1: it is none. */
int hex_digit(char c);

/* Of one of base64 (RFC 4648 4): 0 to 63; -1: it is none. "=" is none. */
int base64_digit(char c);

#endif
