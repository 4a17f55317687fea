/* Programming errors: stop at once, with context. Always compiled in. */
#ifndef LIB_PANIC_H
#define LIB_PANIC_H

/* Reports "file:line: message" on stderr and in the log, and aborts. For our
 * own bugs only: nothing that a peer, a file or an admin does may lead here. */
_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define PANIC(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

/* expr must have no side effects. */
#define ASSERT(expr) \
	do { \
		if (__builtin_expect(!(expr), 0)) \
			PANIC("assertion failed: %s", #expr); \
	} while (0)

#endif
