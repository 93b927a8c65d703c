# SPDX-License-Identifier: BSD-3-Clause
# What links need of a kernel, for whichever recipe makes it: INHERIT += "rsl_kernel"
RSL_KERNEL_CONFIG = "rsl.cfg"
# More for each SoC family, by the override that its layer sets.
RSL_KERNEL_CONFIG[zynqmp] = "rsl-zynqmp.cfg"
RSL_KERNEL_CONFIG[k3] = "rsl-k3.cfg"
RSL_KERNEL_CONFIG[imx-generic-bsp] = "rsl-imx.cfg"
RSL_KERNEL_CONFIG[stm32mpcommon] = "rsl-stm32mp.cfg"

# nooelint: oelint.task.noanonpython - only now it is known which recipe is a kernel's
python () {
    if bb.data.inherits_class('kernel', d):
        # Not expanded: the path is not to be in the checksums of tasks.
        unpacked = '${UNPACKDIR}' if d.getVar('UNPACKDIR') else '${WORKDIR}'
        families = d.getVar('MACHINEOVERRIDES').split(':')
        wanted = [d.getVarFlag('RSL_KERNEL_CONFIG', family) for family in families]
        d.prependVar('FILESEXTRAPATHS', d.expand('${RSL_LAYER}/kernel-config:'))
        for name in [d.getVar('RSL_KERNEL_CONFIG'), *filter(None, wanted)]:
            # kernel-yocto takes it from here, as in linux-yocto and linux-xlnx;
            d.appendVar('SRC_URI', ' file://%s' % name)
            # linux-ti-staging and linux-stm32mp from here;
            d.appendVar('KERNEL_CONFIG_FRAGMENTS', ' %s/%s' % (unpacked, name))
            # linux-imx from here.
            d.appendVar('DELTA_KERNEL_DEFCONFIG', ' %s/%s' % (unpacked, name))
}
