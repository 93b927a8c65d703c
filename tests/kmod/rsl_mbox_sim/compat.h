/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels that the simulator builds for. */
#ifndef _RSL_MBOX_SIM_COMPAT_H
#define _RSL_MBOX_SIM_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/property.h>
#include <linux/version.h>

/* One call since 6.13. */
static inline void rsl_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*function)(struct hrtimer *))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	timer->function = function;
#endif
}

/* 5.10 has the flag for work in hard-interrupt context on PREEMPT_RT in another place. */
static inline void rsl_irq_work_init_hard(struct irq_work *work,
					  void (*function)(struct irq_work *))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	*work = IRQ_WORK_INIT_HARD(function);
#else
	init_irq_work(work, function);
#endif
}

#endif /* _RSL_MBOX_SIM_COMPAT_H */
