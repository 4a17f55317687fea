/* The time since some moment (CLOCK_MONOTONIC): the same for all processes of this
 * machine, and nobody sets it. A loop knows its own: loop_now_us(). */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdint.h>

uint64_t clock_now_us(void);
uint64_t clock_now_ms(void);

/* Also counts while the machine is suspended (CLOCK_BOOTTIME). */
uint64_t clock_boot_ms(void);

#endif
