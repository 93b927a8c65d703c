// SPDX-License-Identifier: GPL-2.0-only
/* The shared memory of a link: the first memory-region of its node. */
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/mm.h>

#include "compat.h"
#include "rsl_mbox.h"

/**
 * rsl_mbox_memory_init() - find and check the shared memory
 * @link: the link; a node without a memory-region leaves it without memory
 *
 * Return: 0, or a negative errno of which the log tells the reason.
 */
int rsl_mbox_memory_init(struct rsl_mbox *link)
{
	struct device *parent = link->dev.parent;
	struct reserved_mem *rmem;
	struct device_node *np;

	np = of_parse_phandle(parent->of_node, "memory-region", 0);
	if (!np)
		return 0;
	rmem = of_reserved_mem_lookup(np);
	of_node_put(np);
	if (!rmem)
		return dev_err_probe(parent, -EINVAL,
				     "%pOF: memory-region: was not reserved at boot\n",
				     parent->of_node);
	if (!rmem->size || !PAGE_ALIGNED(rmem->base) || !PAGE_ALIGNED(rmem->size))
		return dev_err_probe(parent, -EINVAL,
				     "%pOF: memory-region: %pa, %pa bytes, is not in pages of %lu bytes\n",
				     parent->of_node, &rmem->base, &rmem->size,
				     PAGE_SIZE);
	/* A cached alias in the linear map would go against our mapping. */
	if (region_intersects(rmem->base, rmem->size, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT)
		return dev_err_probe(parent, -EINVAL,
				     "%pOF: memory-region: %pa is System RAM, its node lacks no-map\n",
				     parent->of_node, &rmem->base);
	/* Of this node alone: a coherent bus says nothing of the remote. */
	link->memory_cached = of_property_read_bool(parent->of_node, "dma-coherent");
	link->memory_base = rmem->base;
	link->memory_size = rmem->size;
	return 0;
}

/**
 * rsl_mbox_memory_mmap() - map shared memory into a process
 * @link: the link
 * @vma: what is to be mapped; offset 0 is the first byte of the memory
 *
 * The mapping outlives the device: the memory is never given to anybody else.
 *
 * Return: 0; -ENODEV without shared memory, -EPERM for an executable mapping,
 * -EINVAL for a private one or one that is not within the memory.
 */
int rsl_mbox_memory_mmap(struct rsl_mbox *link, struct vm_area_struct *vma)
{
	unsigned long pages = link->memory_size >> PAGE_SHIFT;

	if (!pages)
		return -ENODEV;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	/* VM_SHARED says that it may be written, too. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;

	rsl_vm_forbid_exec(vma);
	if (!link->memory_cached)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	return remap_pfn_range(vma, vma->vm_start,
			       PHYS_PFN(link->memory_base) + vma->vm_pgoff,
			       vma->vm_end - vma->vm_start, vma->vm_page_prot);
}
