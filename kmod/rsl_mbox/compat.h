/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differences between the kernels that the module builds for. Functions have
 * names of the module's own, because stable kernels may get the names of newer ones.
 */
#ifndef _RSL_MBOX_COMPAT_H
#define _RSL_MBOX_COMPAT_H

#include <linux/eventfd.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/version.h>

/* Since 6.3 vm_flags is written through helpers. */
static inline void rsl_vm_forbid_exec(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_clear(vma, VM_MAYEXEC);
#else
	vma->vm_flags &= ~VM_MAYEXEC;
#endif
}

/* What remap_pfn_range() sets, for a mapping that is made page by page. */
static inline void rsl_vm_set_pfnmap(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
#else
	vma->vm_flags |= VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP;
#endif
}

/* Since 6.8 eventfd_signal() always adds 1. */
static inline void rsl_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/*
 * Reset the count of an eventfd, from its wake-up. Modules can do this since 5.11.
 * Before that the count grows, which does no harm until it is 2^64 - 1.
 */
static inline void rsl_eventfd_consume(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	u64 count;

	eventfd_ctx_do_read(ctx, &count);
#endif
}

/*
 * Whether this is hard interrupt context on PREEMPT_RT, where no spinlock_t may be taken.
 * Kernels before 5.11 name in_hardirq() otherwise.
 */
static inline bool rsl_in_rt_hardirq(void)
{
#ifdef in_hardirq
	return IS_ENABLED(CONFIG_PREEMPT_RT) && in_hardirq();
#else
	return IS_ENABLED(CONFIG_PREEMPT_RT) && in_irq();
#endif
}

/* Whether an interrupt has a handler. Modules can ask since 5.11. */
static inline bool rsl_irq_has_action(unsigned int irq)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	return irq_has_action(irq);
#else
	return true;
#endif
}

/* Whether an interrupt is one of each core. Modules can ask since 5.11. */
static inline bool rsl_irq_is_percpu(unsigned int irq)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	return irq_is_percpu(irq);
#else
	return false;
#endif
}

/* Wait for the callbacks of call_rcu_tasks(), which is call_rcu() without CONFIG_TASKS_RCU. */
static inline void rsl_rcu_barrier_tasks(void)
{
#ifdef CONFIG_TASKS_RCU
	rcu_barrier_tasks();
#else
	rcu_barrier();
#endif
}

#endif /* _RSL_MBOX_COMPAT_H */
