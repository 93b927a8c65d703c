/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that the simulator builds for. */
#ifndef _RSL_MBOX_SIM_COMPAT_H
#define _RSL_MBOX_SIM_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/version.h>

/* One call since 6.13. */
static inline void rsl_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*function)(struct hrtimer *))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	timer->function = function;
#endif
}

#endif /* _RSL_MBOX_SIM_COMPAT_H */
