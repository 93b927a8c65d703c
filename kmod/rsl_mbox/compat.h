/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that the module builds for, and nothing
 * else. Names are the module's own, because stable kernels take over names of
 * newer ones.
 */
#ifndef _RSL_MBOX_COMPAT_H
#define _RSL_MBOX_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

/* vm_flags is written through helpers since 6.3. */
static inline void rsl_vm_forbid_exec(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_clear(vma, VM_MAYEXEC);
#else
	vma->vm_flags &= ~VM_MAYEXEC;
#endif
}

#endif /* _RSL_MBOX_COMPAT_H */
