/* The text of an expected failure: what went wrong, where, what to do. Filled
 * by functions that return -1; untouched on success. */
#ifndef LIB_ERR_H
#define LIB_ERR_H

struct err {
	char text[512];
};

/* Sets the text (cut at the buffer's size). Always -1, so that callers can
 * `return err_set(err, …)`; a macro, so that the compiler sees it too. */
#define err_set(err, ...) (err_put((err), __VA_ARGS__), -1)
void err_put(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
