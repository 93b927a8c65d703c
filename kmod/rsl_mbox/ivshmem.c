// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ivshmem transport: a link between two virtual machines by QEMU's PCI device
 * ivshmem-doorbell (docs/specs/ivshmem-spec of QEMU), revision 1. The shared memory is a BAR.
 * A write to a register notifies a peer by one of its MSI-X vectors.
 *
 * A peer has an ID, which is another one each time that its machine starts. So each side
 * has a role, "daemon" or "remote", and keeps its ID in a table in the last
 * IVSHMEM_TABLE_SIZE bytes of the shared memory, which are no part of the link's memory:
 *
 *	Offset	Size	Content, little endian
 *	0	4	entry of the daemon
 *	4	4	entry of the remote
 *	8	-	0
 *
 * An entry is IVSHMEM_ENTRY and the ID. Anything else is nobody. Only the side itself writes
 * its entry. A kick reads that of the other side, so it finds a peer that is new. A kick
 * without a peer is lost, as with a remote that is off.
 *
 * A device has no role at first, and nothing in the memory is written: it may be of a
 * program that is no concern of this driver. The attribute "role" gives it one, and the
 * module's parameter ivshmem_role does so at boot. The attribute "peer", and the parameter
 * ivshmem_peer, give the ID of the peer instead of the table.
 */
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pm.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "compat.h"
#include "rsl_mbox.h"

#define IVSHMEM_VENDOR		PCI_VENDOR_ID_REDHAT_QUMRANET
#define IVSHMEM_DEVICE		0x1110
#define IVSHMEM_REVISION	1

#define IVSHMEM_REGISTERS	0	/* BAR */
#define IVSHMEM_MEMORY		2	/* BAR */

#define IVSHMEM_POSITION	0x08	/* the own ID */
#define IVSHMEM_DOORBELL	0x0c
#define IVSHMEM_REGISTERS_SIZE	0x10

/* The largest page of arm64, so that both sides have the same memory. */
#define IVSHMEM_TABLE_SIZE	SZ_64K

#define IVSHMEM_ENTRY		0x52530000	/* "RS"; the ID is in the lower half */
#define IVSHMEM_ID_MAX		0xffff

#define IVSHMEM_NOBODY		(-1)

enum ivshmem_role {
	IVSHMEM_DAEMON,
	IVSHMEM_REMOTE,
	IVSHMEM_ROLES,
	IVSHMEM_NO_ROLE = IVSHMEM_ROLES,
};

static const char * const ivshmem_role_names[] = { "daemon", "remote", "none" };

static char *ivshmem_role = "none";
module_param(ivshmem_role, charp, 0444);
MODULE_PARM_DESC(ivshmem_role, "role of each ivshmem device: daemon, remote or none (default)");

static int ivshmem_peer = IVSHMEM_NOBODY;
module_param(ivshmem_peer, int, 0444);
MODULE_PARM_DESC(ivshmem_peer,
		 "ID of the peer of each ivshmem device; -1 (default): its entry in the shared memory has it");

/**
 * struct ivshmem_irq - one interrupt
 * @iv: data of the transport
 * @irq: Linux's number of the interrupt
 * @vector: the vector that it notifies
 * @masked: the interrupt is disabled, because its vector is masked; guarded by the link's
 *	lock
 */
struct ivshmem_irq {
	struct ivshmem *iv;
	int irq;
	unsigned int vector;
	bool masked;
};

/**
 * struct ivshmem - data of the transport for one link
 * @link: the link
 * @pdev: the PCI device
 * @registers: the registers
 * @table: the table of IDs at the end of the shared memory
 * @mutex: serialises changes of @role and @entry
 * @role: the role of this side
 * @entry: what was written into the table when the role was taken
 * @peer: ID of the peer, if it was given; IVSHMEM_NOBODY otherwise
 * @irq: the interrupts, one per vector
 */
struct ivshmem {
	struct rsl_mbox *link;
	struct pci_dev *pdev;
	void __iomem *registers;
	__le32 *table;
	struct mutex mutex;	/* serialises changes of role and entry */
	enum ivshmem_role role;
	__le32 entry;
	int peer;
	struct ivshmem_irq irq[RSL_MBOX_MAX_VECTORS];
};

/* Whether an entry of the table has an ID. */
static bool ivshmem_has_id(u32 entry)
{
	return (entry & ~IVSHMEM_ID_MAX) == IVSHMEM_ENTRY;
}

/* The ID of the peer, or IVSHMEM_NOBODY. It may be any: the device ignores unknown ones. */
static int ivshmem_find_peer(struct ivshmem *iv)
{
	int given = READ_ONCE(iv->peer);
	u32 entry;

	if (given != IVSHMEM_NOBODY)
		return given;
	switch (READ_ONCE(iv->role)) {
	case IVSHMEM_DAEMON:
		entry = le32_to_cpu(READ_ONCE(iv->table[IVSHMEM_REMOTE]));
		break;
	case IVSHMEM_REMOTE:
		entry = le32_to_cpu(READ_ONCE(iv->table[IVSHMEM_DAEMON]));
		break;
	default:
		return IVSHMEM_NOBODY;
	}
	if (!ivshmem_has_id(entry))
		return IVSHMEM_NOBODY;
	return entry & IVSHMEM_ID_MAX;
}

static u32 ivshmem_kick(struct rsl_mbox *link, u32 mask)
{
	struct ivshmem *iv = link->transport_data;
	int peer = ivshmem_find_peer(iv);
	unsigned long vectors = mask;
	unsigned int n;

	if (peer == IVSHMEM_NOBODY)
		return 0;
	/* rsl_mbox_kick() has ordered the writes to the shared memory before this one. */
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		writel_relaxed((u32)peer << 16 | n, iv->registers + IVSHMEM_DOORBELL);
	return 0;
}

static void ivshmem_mask(struct rsl_mbox *link, u32 masked)
{
	struct ivshmem *iv = link->transport_data;
	unsigned int n;

	lockdep_assert_held(&link->lock);
	for (n = 0; n < link->vectors; n++) {
		struct ivshmem_irq *ii = &iv->irq[n];
		bool mask = masked & BIT(n);

		if (mask == ii->masked)
			continue;
		ii->masked = mask;
		if (mask)
			disable_irq_nosync(ii->irq);
		else
			enable_irq(ii->irq);
	}
}

static const struct rsl_mbox_transport ivshmem_transport = {
	.name = "ivshmem",
	.kick = ivshmem_kick,
	.mask = ivshmem_mask,
};

static irqreturn_t ivshmem_handle(int irq, void *data)
{
	struct ivshmem_irq *ii = data;

	rsl_mbox_notify(ii->iv->link, BIT(ii->vector), ktime_get());
	return IRQ_HANDLED;
}

static u32 ivshmem_entry(struct ivshmem *iv)
{
	return IVSHMEM_ENTRY | (readl(iv->registers + IVSHMEM_POSITION) & IVSHMEM_ID_MAX);
}

/* Leave a role, if there is one, and take another one. */
static void ivshmem_set_role(struct ivshmem *iv, enum ivshmem_role role)
{
	__le32 entry = cpu_to_le32(ivshmem_entry(iv));
	unsigned int n;

	mutex_lock(&iv->mutex);
	if (iv->role == role && role == IVSHMEM_NO_ROLE)
		goto unlock;
	/*
	 * Another machine may have taken the role meanwhile: that entry stays. The ID may be in
	 * the entry of a role that was not left before a reboot, and would be the own peer.
	 */
	for (n = 0; n < IVSHMEM_ROLES; n++)
		if (n != role && READ_ONCE(iv->table[n]) == entry)
			WRITE_ONCE(iv->table[n], 0);
	WRITE_ONCE(iv->role, role);
	if (role != IVSHMEM_NO_ROLE) {
		WRITE_ONCE(iv->table[role], entry);
		iv->entry = entry;
	}
unlock:
	mutex_unlock(&iv->mutex);
}

static void ivshmem_leave(void *data)
{
	ivshmem_set_role(data, IVSHMEM_NO_ROLE);
}

static ssize_t role_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct ivshmem *iv = dev_get_drvdata(dev);
	enum ivshmem_role role = READ_ONCE(iv->role);

	/* Another machine has taken the role, or the memory is another one. */
	if (role != IVSHMEM_NO_ROLE &&
	    le32_to_cpu(READ_ONCE(iv->table[role])) != ivshmem_entry(iv))
		return sysfs_emit(buf, "lost\n");
	return sysfs_emit(buf, "%s\n", ivshmem_role_names[role]);
}

static ssize_t role_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	int role = sysfs_match_string(ivshmem_role_names, buf);

	if (role < 0)
		return role;
	ivshmem_set_role(dev_get_drvdata(dev), role);
	return count;
}
static DEVICE_ATTR_RW(role);

static ssize_t peer_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	int peer = ivshmem_find_peer(dev_get_drvdata(dev));

	if (peer == IVSHMEM_NOBODY)
		return sysfs_emit(buf, "none\n");
	return sysfs_emit(buf, "%d\n", peer);
}

static ssize_t peer_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	struct ivshmem *iv = dev_get_drvdata(dev);
	u16 peer;
	int ret;

	if (sysfs_streq(buf, "auto")) {
		WRITE_ONCE(iv->peer, IVSHMEM_NOBODY);
		return count;
	}
	ret = kstrtou16(buf, 0, &peer);
	if (ret)
		return ret;
	WRITE_ONCE(iv->peer, peer);
	return count;
}
static DEVICE_ATTR_RW(peer);

static ssize_t position_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct ivshmem *iv = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", ivshmem_entry(iv) & IVSHMEM_ID_MAX);
}
static DEVICE_ATTR_RO(position);

static struct attribute *ivshmem_attrs[] = {
	&dev_attr_peer.attr,
	&dev_attr_position.attr,
	&dev_attr_role.attr,
	NULL
};

static const struct attribute_group ivshmem_group = { .attrs = ivshmem_attrs };

static int ivshmem_map(struct pci_dev *pdev, struct ivshmem *iv)
{
	resource_size_t size = pci_resource_len(pdev, IVSHMEM_MEMORY);
	resource_size_t base = pci_resource_start(pdev, IVSHMEM_MEMORY);
	struct device *dev = &pdev->dev;
	void *memory;

	if (pci_resource_len(pdev, IVSHMEM_REGISTERS) < IVSHMEM_REGISTERS_SIZE)
		return dev_err_probe(dev, -ENODEV, "BAR 0 has no registers\n");
	if (!size)
		return dev_err_probe(dev, -ENODEV,
				     "BAR 2 has no address: has the port above room for the shared memory?\n");
	if (size < 2 * IVSHMEM_TABLE_SIZE)
		return dev_err_probe(dev, -EINVAL,
				     "shared memory of %pa bytes, at least %u are needed\n",
				     &size, 2 * IVSHMEM_TABLE_SIZE);
	iv->registers = devm_ioremap_resource(dev, &pdev->resource[IVSHMEM_REGISTERS]);
	if (IS_ERR(iv->registers))
		return PTR_ERR(iv->registers);
	if (!devm_request_mem_region(dev, base, size, dev_name(dev)))
		return dev_err_probe(dev, -EBUSY, "shared memory at %pa is in use\n", &base);
	/* All of it: on x86 a process gets the memory cached only if it is mapped so here. */
	memory = devm_memremap(dev, base, size, MEMREMAP_WB);
	if (IS_ERR(memory))
		return dev_err_probe(dev, PTR_ERR(memory),
				     "shared memory of %pa bytes cannot be mapped\n", &size);
	iv->table = memory + size - IVSHMEM_TABLE_SIZE;
	return rsl_mbox_memory_of_device(iv->link, base, size - IVSHMEM_TABLE_SIZE);
}

static int ivshmem_request_irq(struct ivshmem *iv, unsigned int n)
{
	struct ivshmem_irq *ii = &iv->irq[n];
	struct device *dev = &iv->pdev->dev;
	const char *name;
	int ret;

	ii->iv = iv;
	ii->vector = n;
	ii->irq = pci_irq_vector(iv->pdev, n);
	name = devm_kasprintf(dev, GFP_KERNEL, "%s:%u", dev_name(&iv->link->dev), n);
	if (!name)
		return -ENOMEM;
	/*
	 * A mask reaches the device at once, so that a masked vector costs no interrupt. The
	 * device keeps a pending bit meanwhile.
	 */
	irq_set_status_flags(ii->irq, IRQ_DISABLE_UNLAZY);
	/* The probe enables it. */
	ret = devm_request_irq(dev, ii->irq, ivshmem_handle, IRQF_NO_AUTOEN, name, ii);
	if (ret)
		return dev_err_probe(dev, ret, "MSI-X vector %u cannot be requested\n", n);
	return 0;
}

static int ivshmem_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int role = match_string(ivshmem_role_names, ARRAY_SIZE(ivshmem_role_names),
				ivshmem_role);
	struct device *dev = &pdev->dev;
	struct ivshmem *iv;
	int vectors, ret;
	unsigned int n;

	if (role < 0)
		return dev_err_probe(dev, -EINVAL,
				     "ivshmem_role: %s is not daemon, remote or none\n",
				     ivshmem_role);
	if (ivshmem_peer < IVSHMEM_NOBODY || ivshmem_peer > IVSHMEM_ID_MAX)
		return dev_err_probe(dev, -EINVAL,
				     "ivshmem_peer: %d is not -1 to %d\n", ivshmem_peer,
				     IVSHMEM_ID_MAX);
	if (pdev->revision < IVSHMEM_REVISION)
		return dev_err_probe(dev, -ENODEV,
				     "ivshmem revision %u, but at least %u is needed\n",
				     pdev->revision, IVSHMEM_REVISION);
	if (!pdev->msix_cap)
		return dev_err_probe(dev, -ENODEV,
				     "ivshmem without MSI-X cannot notify: use ivshmem-doorbell\n");
	iv = devm_kzalloc(dev, sizeof(*iv), GFP_KERNEL);
	if (!iv)
		return -ENOMEM;
	iv->pdev = pdev;
	iv->role = IVSHMEM_NO_ROLE;
	iv->peer = ivshmem_peer;
	mutex_init(&iv->mutex);

	ret = pcim_enable_device(pdev);
	if (ret)
		return dev_err_probe(dev, ret, "cannot be enabled\n");
	/* An MSI is a write of the device. */
	pci_set_master(pdev);
	vectors = pci_alloc_irq_vectors(pdev, 1, RSL_MBOX_MAX_VECTORS, PCI_IRQ_MSIX);
	if (vectors < 0)
		return dev_err_probe(dev, vectors, "MSI-X cannot be used\n");

	iv->link = devm_rsl_mbox_alloc(dev, &ivshmem_transport, vectors);
	if (IS_ERR(iv->link))
		return PTR_ERR(iv->link);
	iv->link->transport_data = iv;
	iv->link->mask_irqs = true;
	ret = ivshmem_map(pdev, iv);
	if (ret)
		return ret;
	for (n = 0; n < vectors; n++) {
		ret = ivshmem_request_irq(iv, n);
		if (ret)
			return ret;
	}
	ret = devm_add_action_or_reset(dev, ivshmem_leave, iv);
	if (ret)
		return ret;
	pci_set_drvdata(pdev, iv);
	/* All of it is there before the link is, which a program may wait for. */
	ret = devm_device_add_group(dev, &ivshmem_group);
	if (ret)
		return ret;
	if (role != IVSHMEM_NO_ROLE)
		ivshmem_set_role(iv, role);
	/* A storm masks interrupts, so it cannot begin while one is missing or may be freed. */
	for (n = 0; n < vectors; n++)
		enable_irq(iv->irq[n].irq);
	return devm_rsl_mbox_register(dev, iv->link);
}

/*
 * After hibernation the machine may have another ID, and the memory may be another one. A role
 * that another machine has taken meanwhile stays its own.
 */
static int __maybe_unused ivshmem_resume(struct device *dev)
{
	struct ivshmem *iv = dev_get_drvdata(dev);
	enum ivshmem_role role = READ_ONCE(iv->role);
	__le32 entry;

	if (role == IVSHMEM_NO_ROLE)
		return 0;
	entry = READ_ONCE(iv->table[role]);
	if (entry == iv->entry || !ivshmem_has_id(le32_to_cpu(entry)))
		ivshmem_set_role(iv, role);
	return 0;
}

static const struct dev_pm_ops ivshmem_pm_ops = {
	SET_SYSTEM_SLEEP_PM_OPS(NULL, ivshmem_resume)
};

static const struct pci_device_id ivshmem_ids[] = {
	{ PCI_DEVICE(IVSHMEM_VENDOR, IVSHMEM_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ivshmem_ids);

struct pci_driver rsl_mbox_ivshmem_driver = {
	.name = "rsl_mbox_ivshmem",
	.id_table = ivshmem_ids,
	.probe = ivshmem_probe,
	.driver.pm = &ivshmem_pm_ops,
};
