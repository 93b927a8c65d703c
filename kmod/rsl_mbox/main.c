// SPDX-License-Identifier: GPL-2.0-only
/*
 * rsl_mbox: shared memory and notifications between Linux and a second runtime on
 * the same chip, or in another virtual machine, for use by a process. This file has the
 * module's init and exit.
 */
#include <linux/init.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>

#include "compat.h"
#include "rsl_mbox.h"

static int __init rsl_mbox_pci_init(void)
{
#ifdef CONFIG_PCI_MSI
	return pci_register_driver(&rsl_mbox_ivshmem_driver);
#else
	return 0;
#endif
}

static void rsl_mbox_pci_exit(void)
{
#ifdef CONFIG_PCI_MSI
	pci_unregister_driver(&rsl_mbox_ivshmem_driver);
#endif
}

static int __init rsl_mbox_init(void)
{
	int ret;

	ret = rsl_mbox_register_init();
	if (ret)
		return ret;
	ret = rsl_mbox_eventfd_init();
	if (ret)
		goto err_register_exit;
	ret = platform_driver_register(&rsl_mbox_doorbell_driver);
	if (ret)
		goto err_eventfd_exit;
	ret = platform_driver_register(&rsl_mbox_mailbox_driver);
	if (ret)
		goto err_unregister_doorbell;
	ret = rsl_mbox_pci_init();
	if (ret)
		goto err_unregister_mailbox;
	return 0;

err_unregister_mailbox:
	platform_driver_unregister(&rsl_mbox_mailbox_driver);
err_unregister_doorbell:
	platform_driver_unregister(&rsl_mbox_doorbell_driver);
	rsl_rcu_barrier_tasks();
err_eventfd_exit:
	rsl_mbox_eventfd_exit();
err_register_exit:
	rsl_mbox_register_exit();
	return ret;
}

static void __exit rsl_mbox_exit(void)
{
	rsl_mbox_pci_exit();
	platform_driver_unregister(&rsl_mbox_mailbox_driver);
	platform_driver_unregister(&rsl_mbox_doorbell_driver);
	/* The memory of mailbox.c, and who may still leave its functions. */
	rsl_rcu_barrier_tasks();
	rsl_mbox_eventfd_exit();
	rsl_mbox_register_exit();
}

module_init(rsl_mbox_init);
module_exit(rsl_mbox_exit);

MODULE_DESCRIPTION("Shared memory and notifications between Linux and a second runtime");
MODULE_AUTHOR("The rsl_mbox developers");
MODULE_LICENSE("GPL");
