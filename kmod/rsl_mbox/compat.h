/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that the module builds for, and nothing
 * else. Names are the module's own, because stable kernels take over names of
 * newer ones.
 */
#ifndef _RSL_MBOX_COMPAT_H
#define _RSL_MBOX_COMPAT_H

#include <linux/bits.h>
#include <linux/eventfd.h>
#include <linux/mailbox_controller.h>
#include <linux/mm.h>
#include <linux/version.h>

/* In txdone_method of a channel; a name of the framework's own until 7.1. */
#ifndef MBOX_TXDONE_BY_ACK
#define MBOX_TXDONE_BY_ACK	BIT(2)
#endif

/* vm_flags is written through helpers since 6.3. */
static inline void rsl_vm_forbid_exec(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_clear(vma, VM_MAYEXEC);
#else
	vma->vm_flags &= ~VM_MAYEXEC;
#endif
}

/* A signal adds 1, without being told so, since 6.8. */
static inline void rsl_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/*
 * Take what an eventfd was signalled, from its wake-up. Modules can since 5.11;
 * before, the count grows, which harms nobody until it is 2^64 - 1.
 */
static inline void rsl_eventfd_consume(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
	u64 count;

	eventfd_ctx_do_read(ctx, &count);
#endif
}

#endif /* _RSL_MBOX_COMPAT_H */
