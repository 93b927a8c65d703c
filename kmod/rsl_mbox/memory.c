// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shared memory of a link, and files that are windows of it.
 *
 * The memory is reserved for ever (the first memory-region of the link's node), or it is of
 * the transport's device and goes with it (a BAR of a PCI device). A process keeps its
 * mapping in both cases. Mappings of memory that goes are in one address space. They are
 * made page by page, and taken back when the device goes. From then on they show a page
 * that nobody outside sees.
 */
#include <linux/anon_inodes.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/of.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/of_reserved_mem.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/rwsem.h>
#include <linux/slab.h>

#include "compat.h"
#include "rsl_mbox.h"

#define RSL_MBOX_FS_MAGIC	0x72736c6d	/* "rslm" */

static struct vfsmount *rsl_mbox_mount;

static int rsl_mbox_fs_init(struct fs_context *fc)
{
	return init_pseudo(fc, RSL_MBOX_FS_MAGIC) ? 0 : -ENOMEM;
}

/*
 * For inodes alone. It has no owner, so that the module can be unloaded: the module's exit
 * comes after all links, and so after all inodes.
 */
static struct file_system_type rsl_mbox_fs_type = {
	.name = "rsl_mbox",
	.init_fs_context = rsl_mbox_fs_init,
	.kill_sb = kill_anon_super,
};

/**
 * rsl_mbox_memory_start() - make what memory needs that goes with its device
 *
 * Return: 0 or a negative errno.
 */
int __init rsl_mbox_memory_start(void)
{
	rsl_mbox_mount = kern_mount(&rsl_mbox_fs_type);
	return PTR_ERR_OR_ZERO(rsl_mbox_mount);
}

/* Called on the error path of the module's init, too. */
void rsl_mbox_memory_stop(void)
{
	kern_unmount(rsl_mbox_mount);
}

/**
 * rsl_mbox_memory_of_node() - find and check the shared memory of a device tree node
 * @link: the link; it has no memory if its node has no memory-region
 *
 * Return: 0 or a negative errno. The log has the reason.
 */
int rsl_mbox_memory_of_node(struct rsl_mbox *link)
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
 * rsl_mbox_memory_remove() - replace the memory that goes with a device, in all mappings
 * @link: the link; nothing happens if its memory stays
 *
 * No process can reach the memory after this.
 */
void rsl_mbox_memory_remove(struct rsl_mbox *link)
{
	if (!link->memory_inode)
		return;
	down_write(&link->memory_lock);
	link->memory_gone = true;
	up_write(&link->memory_lock);
	/* A page that comes from here on is the spare one. */
	unmap_mapping_range(link->memory_inode->i_mapping, 0, 0, true);
}

/**
 * rsl_mbox_memory_of_device() - give a link memory that goes with its device
 * @link: the link
 * @base: physical address of the memory, in whole pages
 * @size: its size in bytes, in whole pages and not 0
 *
 * The memory is mapped cached. No process can reach it once the link is not registered
 * any more.
 *
 * Return: 0 or a negative errno.
 */
int rsl_mbox_memory_of_device(struct rsl_mbox *link, phys_addr_t base, phys_addr_t size)
{
	struct inode *inode;

	link->memory_spare = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!link->memory_spare)
		return -ENOMEM;
	inode = alloc_anon_inode(rsl_mbox_mount->mnt_sb);
	if (IS_ERR(inode))
		return PTR_ERR(inode);
	link->memory_inode = inode;
	link->memory_cached = true;
	link->memory_base = base;
	link->memory_size = size;
	return 0;
}

/**
 * rsl_mbox_memory_free() - free what a link needs for its memory
 * @link: the link; no file of it is open
 */
void rsl_mbox_memory_free(struct rsl_mbox *link)
{
	iput(link->memory_inode);
	if (link->memory_spare)
		__free_page(link->memory_spare);
}

/**
 * rsl_mbox_memory_attach() - have the mappings of an open file follow the memory
 * @link: the link
 * @filp: the file, which holds a reference to the link's device
 */
void rsl_mbox_memory_attach(struct rsl_mbox *link, struct file *filp)
{
	if (link->memory_inode)
		filp->f_mapping = link->memory_inode->i_mapping;
}

/*
 * A debugger reads or writes memory that a process has mapped. generic_access_phys() maps
 * it as the process has it, which a kernel with PAN cannot use (arm64, until it takes the
 * memory type alone).
 */
static int rsl_mbox_memory_access(struct vm_area_struct *vma, unsigned long addr,
				  void *buf, int len, int write)
{
	struct rsl_mbox *link = vma->vm_private_data;
	unsigned long offset = offset_in_page(addr);
	phys_addr_t page = PFN_PHYS(vma->vm_pgoff + PFN_DOWN(addr - vma->vm_start));
	void *memory;

	if (write && !(vma->vm_flags & VM_WRITE))
		return -EACCES;
	len = min_t(unsigned long, len, PAGE_SIZE - offset);
	down_read(&link->memory_lock);
	if (link->memory_gone)
		page = page_to_phys(link->memory_spare);
	memory = memremap(page, PAGE_SIZE,
			  link->memory_cached ? MEMREMAP_WB : MEMREMAP_WC);
	if (!memory) {
		len = -ENOMEM;
		goto unlock;
	}
	if (write)
		memcpy(memory + offset, buf, len);
	else
		memcpy(buf, memory + offset, len);
	memunmap(memory);
unlock:
	up_read(&link->memory_lock);
	return len;
}

/* The offset of a page in the file's address space is its frame number. */
static vm_fault_t rsl_mbox_memory_fault(struct vm_fault *vmf)
{
	struct rsl_mbox *link = vmf->vma->vm_private_data;
	vm_fault_t ret;

	down_read(&link->memory_lock);
	ret = vmf_insert_pfn(vmf->vma, vmf->address,
			     link->memory_gone ? page_to_pfn(link->memory_spare) :
						 vmf->pgoff);
	up_read(&link->memory_lock);
	return ret;
}

static const struct vm_operations_struct rsl_mbox_memory_vm_ops = {
	.access = rsl_mbox_memory_access,
};

static const struct vm_operations_struct rsl_mbox_memory_going_vm_ops = {
	.access = rsl_mbox_memory_access,
	.fault = rsl_mbox_memory_fault,
};

/* Map @size bytes from @base on, as far as the mapping covers them. */
static int rsl_mbox_memory_map(struct rsl_mbox *link, struct vm_area_struct *vma,
			       phys_addr_t base, phys_addr_t size)
{
	unsigned long pages = size >> PAGE_SHIFT;

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
	/* From here on the offset counts from physical address 0, for rsl_mbox_memory_access(). */
	vma->vm_pgoff += PHYS_PFN(base);
	vma->vm_private_data = link;
	if (link->memory_inode) {
		vma->vm_ops = &rsl_mbox_memory_going_vm_ops;
		rsl_vm_set_pfnmap(vma);
		return 0;
	}
	vma->vm_ops = &rsl_mbox_memory_vm_ops;
	return remap_pfn_range(vma, vma->vm_start, vma->vm_pgoff,
			       vma->vm_end - vma->vm_start, vma->vm_page_prot);
}

/**
 * rsl_mbox_memory_mmap() - map shared memory into a process
 * @link: the link
 * @vma: the mapping; its offset counts from the first byte of the shared memory
 *
 * The mapping may outlive the device.
 *
 * Return: 0; -ENODEV if the link has no shared memory; -EPERM if the mapping is
 * executable; -EINVAL if it is private or not within the shared memory.
 */
int rsl_mbox_memory_mmap(struct rsl_mbox *link, struct vm_area_struct *vma)
{
	return rsl_mbox_memory_map(link, vma, link->memory_base, link->memory_size);
}

/**
 * struct rsl_mbox_window - an open file of a part of the shared memory
 * @link: the link; the file holds a reference to its device
 * @base: physical address of the first byte
 * @size: size in bytes
 */
struct rsl_mbox_window {
	struct rsl_mbox *link;
	phys_addr_t base;
	phys_addr_t size;
};

static int rsl_mbox_window_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct rsl_mbox_window *window = filp->private_data;

	return rsl_mbox_memory_map(window->link, vma, window->base, window->size);
}

static loff_t rsl_mbox_window_llseek(struct file *filp, loff_t offset, int whence)
{
	struct rsl_mbox_window *window = filp->private_data;

	return fixed_size_llseek(filp, offset, whence, window->size);
}

/* Tells the end of the device, and nothing else. */
static __poll_t rsl_mbox_window_poll(struct file *filp, poll_table *wait)
{
	struct rsl_mbox_window *window = filp->private_data;

	poll_wait(filp, &window->link->wait, wait);
	return rsl_mbox_dead(window->link) ? EPOLLHUP | EPOLLERR : 0;
}

static int rsl_mbox_window_release(struct inode *inode, struct file *filp)
{
	struct rsl_mbox_window *window = filp->private_data;

	if (filp->f_mode & FMODE_WRITE)
		atomic_dec(&window->link->open_files);
	put_device(&window->link->dev);
	kfree(window);
	return 0;
}

static const struct file_operations rsl_mbox_window_fops = {
	.owner = THIS_MODULE,
	.release = rsl_mbox_window_release,
	.llseek = rsl_mbox_window_llseek,
	.poll = rsl_mbox_window_poll,
	.mmap = rsl_mbox_window_mmap,
};

/**
 * rsl_mbox_memory_open() - open a window of the shared memory in the calling process
 * @link: the link
 * @spec: the window; its flags and reserved members are known to be good
 *
 * Context: process; may sleep.
 * Return: the descriptor; -ENODEV if the link has no shared memory; -EINVAL if the
 * window is not in whole pages or not within the shared memory; -EMFILE, -ENFILE or
 * -ENOMEM.
 */
int rsl_mbox_memory_open(struct rsl_mbox *link, const struct rsl_mbox_memory *spec)
{
	int flags = O_CLOEXEC | (spec->flags & RSL_MBOX_MEMORY_RDONLY ? O_RDONLY : O_RDWR);
	u64 left = link->memory_size - spec->offset;
	struct rsl_mbox_window *window;
	struct file *filp;
	int fd;

	if (!link->memory_size)
		return -ENODEV;
	if (spec->offset >= link->memory_size || spec->size > left ||
	    !PAGE_ALIGNED(spec->offset) || !PAGE_ALIGNED(spec->size))
		return -EINVAL;

	window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	if (!window)
		return -ENOMEM;
	window->base = link->memory_base + spec->offset;
	window->size = spec->size ?: left;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		kfree(window);
		return fd;
	}
	filp = anon_inode_getfile("[rsl_mbox_memory]", &rsl_mbox_window_fops, window, flags);
	if (IS_ERR(filp)) {
		put_unused_fd(fd);
		kfree(window);
		return PTR_ERR(filp);
	}
	get_device(&link->dev);
	window->link = link;
	rsl_mbox_memory_attach(link, filp);
	/* Kernels before 6.0 do not set this for an anonymous inode. */
	filp->f_mode |= FMODE_LSEEK;
	/* Who can write the memory may be a daemon. */
	if (filp->f_mode & FMODE_WRITE)
		atomic_inc(&link->open_files);
	fd_install(fd, filp);
	return fd;
}
