/* Signals of processes that become another program. */
#ifndef LIB_SIGNALS_H
#define LIB_SIGNALS_H

/* Makes all of them as a program finds them that nobody has prepared for, and
 * blocks none. In a child, right before exec(). */
void signals_reset(void);

#endif
