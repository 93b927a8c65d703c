// SPDX-License-Identifier: GPL-2.0-only
/* The shared memory of a link, which is the first memory-region of its node. */
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/of.h>
#include <linux/of_reserved_mem.h>
#include <linux/mm.h>

#include "compat.h"
#include "rsl_mbox.h"

/**
 * rsl_mbox_memory_init() - find and check the shared memory
 * @link: the link; it has no memory if its node has no memory-region
 *
 * Return: 0 or a negative errno. The log has the reason.
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
	/* System RAM is cached in the linear map, which conflicts with our mapping. */
	if (region_intersects(rmem->base, rmem->size, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT)
		return dev_err_probe(parent, -EINVAL,
				     "%pOF: memory-region: %pa is System RAM, its node lacks no-map\n",
				     parent->of_node, &rmem->base);
	/* Not of_dma_is_coherent(): a parent bus says nothing about the remote. */
	link->memory_cached = of_property_read_bool(parent->of_node, "dma-coherent");
	link->memory_base = rmem->base;
	link->memory_size = rmem->size;
	return 0;
}

/**
 * rsl_mbox_memory_mmap() - map shared memory into a process
 * @link: the link
 * @vma: the mapping; its offset counts from the first byte of the shared memory
 *
 * The mapping may outlive the device, because the memory stays reserved for ever.
 *
 * Return: 0; -ENODEV if the link has no shared memory; -EPERM if the mapping is
 * executable; -EINVAL if it is private or not within the shared memory.
 */
int rsl_mbox_memory_mmap(struct rsl_mbox *link, struct vm_area_struct *vma)
{
	unsigned long pages = link->memory_size >> PAGE_SHIFT;

	if (!pages)
		return -ENODEV;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	/* Not VM_SHARED, which a read-only file's shared mapping lacks. */
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
