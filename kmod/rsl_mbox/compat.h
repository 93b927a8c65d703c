/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differences between the kernels that the module builds for. Functions have
 * names of the module's own, because stable kernels may get the names of newer ones.
 */
#ifndef _RSL_MBOX_COMPAT_H
#define _RSL_MBOX_COMPAT_H

#include <linux/bits.h>
#include <linux/eventfd.h>
#include <linux/mailbox_controller.h>
#include <linux/mm.h>
#include <linux/version.h>

/* A value of txdone_method of struct mbox_chan. Clients cannot see it before 7.1. */
#ifndef MBOX_TXDONE_BY_ACK
#define MBOX_TXDONE_BY_ACK	BIT(2)
#endif

/* Since 6.3 vm_flags is written through helpers. */
static inline void rsl_vm_forbid_exec(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_clear(vma, VM_MAYEXEC);
#else
	vma->vm_flags &= ~VM_MAYEXEC;
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

#endif /* _RSL_MBOX_COMPAT_H */
