# SPDX-License-Identifier: BSD-3-Clause
# What links need of others' recipes: INHERIT += "rsl"
#   of a kernel: configuration
#   of what makes the machine's device trees: the link in them, or symbols for a boot loader that
#   applies the overlay
#   of an image: the overlay in its boot partition, for such a boot loader

inherit rsl_profile

# How the link gets into the machine's device tree:
#   merged   the overlay is merged into the trees that the kernel or virtual/dtb makes
#   overlay  the boot loader applies the overlay
#   none     otherwise
RSL_DEVICE_TREE ??= "${RSL_DEVICE_TREE_MACHINE}"
RSL_DEVICE_TREE_MACHINE = "merged"
# QEMU makes the tree.
RSL_DEVICE_TREE_MACHINE:qemuall = "none"

# That trees are changed where they were made.
RSL_IN_PLACE = "1"

RSL_KERNEL_CONFIG = "rsl.cfg"
# More for each SoC family, by the override that its layer sets.
RSL_KERNEL_CONFIG[zynqmp] = "rsl-zynqmp.cfg"
RSL_KERNEL_CONFIG[k3] = "rsl-k3.cfg"
RSL_KERNEL_CONFIG[imx-generic-bsp] = "rsl-imx.cfg"
RSL_KERNEL_CONFIG[stm32mpcommon] = "rsl-stm32mp.cfg"

def rsl_is_kernel_of_build(d):
    return d.getVar('PREFERRED_PROVIDER_virtual/kernel') == d.getVar('PN') != 'linux-dummy'

def rsl_configure_kernel(d):
    # Not expanded: the path is not to be in the checksums of tasks.
    unpacked = '${UNPACKDIR}' if d.getVar('UNPACKDIR') else '${WORKDIR}'
    families = d.getVar('MACHINEOVERRIDES').split(':')
    wanted = [d.getVarFlag('RSL_KERNEL_CONFIG', family) for family in families]
    names = [d.getVar('RSL_KERNEL_CONFIG'), *filter(None, wanted)]
    paths = ''.join(f' {unpacked}/{name}' for name in names)
    if d.getVar('do_merge_delta_config'):  # meta-imx's linux-imx, which drops other fragments
        d.appendVar('DELTA_KERNEL_DEFCONFIG', paths)
    elif 'KERNEL_CONFIG_FRAGMENTS' in (d.getVar('do_configure', False) or ''):  # meta-ti, meta-st-stm32mp
        d.appendVar('KERNEL_CONFIG_FRAGMENTS', paths)
    elif not bb.data.inherits_class('kernel-yocto', d):  # which takes all *.cfg of SRC_URI
        if rsl_is_kernel_of_build(d):
            bb.warn(
                "this kernel takes no configuration fragments: see that its configuration has what %s names"
                % ', '.join(d.expand('${RSL_LAYER}/kernel-config/') + name for name in names)
            )
        return
    d.prependVar('FILESEXTRAPATHS', d.expand('${RSL_LAYER}/kernel-config:'))
    d.appendVar('SRC_URI', ''.join(f' file://{name}' for name in names))

def rsl_has_trees(d):
    """Whether a recipe makes device trees that Linux is given."""
    if bb.data.inherits_class('kernel', d):
        # meta-ti finds the trees by the prefix in the sources, once they are unpacked.
        return bool((d.getVar('KERNEL_DEVICETREE') or '').strip() or d.getVar('KERNEL_DEVICETREE_PREFIX'))
    # The boot loader's and the firmware's configurations (multiconfig) have trees of their own.
    linux = (d.getVar('TARGET_OS') or '').startswith('linux')
    return linux and d.getVar('PREFERRED_PROVIDER_virtual/dtb') == d.getVar('PN')

# nooelint: oelint.task.noanonpython - only now it is known what a recipe is
python () {
    kernel = bb.data.inherits_class('kernel', d)
    trees = rsl_has_trees(d)
    if kernel:
        rsl_configure_kernel(d)
        # Overlays refer to labels.
        d.appendVar('KERNEL_DTC_FLAGS', ' -@')
    how = d.getVar('RSL_DEVICE_TREE')
    if how not in ('merged', 'overlay', 'none'):
        bb.fatal(f"RSL_DEVICE_TREE: '{how}' is not merged, overlay or none")
    if trees:
        # A task of its own, so that another rslctl builds no kernel anew. Where nothing is merged it
        # takes back what was merged before.
        before = 'do_install do_bundle_initramfs do_assemble_fitimage do_deploy'
        bb.build.addtask('do_rsl_merge', before, 'do_compile', d)
        if not kernel:
            # Without this class, trees are made anew. Those of kernels are, as they lack -@.
            d.appendVarFlag('do_unpack', 'vardeps', ' RSL_IN_PLACE')
    if not d.getVar('RSL_BOARD'):
        return
    if kernel and rsl_is_kernel_of_build(d) and not trees and how == 'merged' and not d.getVar('PREFERRED_PROVIDER_virtual/dtb'):
        bb.warn(
            "RSL_DEVICE_TREE: 'merged', but there is nothing to merge the link into: neither KERNEL_DEVICETREE nor "
            "PREFERRED_PROVIDER_virtual/dtb is set. 'none' says that the link comes from elsewhere"
        )
    if trees and how == 'merged':
        d.appendVarFlag('do_rsl_merge', 'depends', ' rslctl-native:do_populate_sysroot dtc-native:do_populate_sysroot')
        d.appendVarFlag('do_rsl_merge', 'file-checksums', ''.join(f' {path}:True' for path in rsl_profiles(d)))
    if how == 'overlay' and kernel and 'stm32mpcommon' in d.getVar('MACHINEOVERRIDES').split(':'):
        bb.warn("RSL_DEVICE_TREE: the images of meta-st-stm32mp have no IMAGE_BOOT_FILES, so no overlay gets into their boot partition: 'merged' works")
    if how == 'overlay' and bb.data.inherits_class('image', d):
        d.appendVar('IMAGE_BOOT_FILES', ' devicetree/${RSL_BOARD_NAME}.dtbo')
        d.appendVarFlag('do_image_wic', 'depends', ' rsl-board:do_deploy')
}

python do_rsl_merge() {
    import filecmp, glob, json, os, shutil, subprocess

    def run(*words):
        return subprocess.run(words, capture_output=True, text=True)

    if bb.data.inherits_class('kernel', d):
        names = d.getVar('KERNEL_DEVICETREE').split()
        places = [d.expand('${B}/arch/${ARCH}/boot/dts'), d.expand('${B}/arch/${ARCH}/boot')]
    else:
        # Trees that were not compiled are taken from where their sources are.
        places = [d.getVar('B'), d.getVar('DT_FILES_PATH')]
        made = [os.path.basename(path) for place in places for path in sorted(glob.glob(f'{place}/*.dtb'))]
        names = [d.getVar('DTB_FILE_NAME') or '', *made]
    for name in names:
        for tree in (f'{place}/{name}' for place in places):
            base, last = f'{tree}.rsl-base', f'{tree}.rsl-merged'
            # What make built anew since is not merged.
            if os.path.exists(last) and os.path.exists(tree) and filecmp.cmp(tree, last, shallow=False):
                shutil.copy(base, tree)
    board = d.getVar('RSL_BOARD')
    if d.getVar('RSL_DEVICE_TREE') != 'merged' or not board:
        return
    shown = run('rslctl', 'boards', 'show', board, '--json')
    if shown.returncode:
        bb.fatal(f"RSL_BOARD: {shown.stderr.strip()}")
    wanted = json.loads(shown.stdout)['compatible']
    others, merged, refused = [], [], {}
    for name in dict.fromkeys(name for name in names if name.endswith('.dtb')):
        tree = next((f'{place}/{name}' for place in places if os.path.exists(f'{place}/{name}')), None)
        if not tree:
            continue
        found = run('fdtget', '-t', 's', tree, '/', 'compatible').stdout.split()
        if not set(found) & set(wanted):
            others.append(f"{name} ({found[0] if found else 'no compatible'})")
            continue
        base, last = f'{tree}.rsl-base', f'{tree}.rsl-merged'
        shutil.copy(tree, base)
        done = run('rslctl', 'overlay', '--board', board, '--base', base, '--merge', last)
        if done.returncode:
            refused[name] = done.stderr.strip()
        else:
            shutil.copy(last, tree)
            merged.append(name)
        if refused and not merged:
            break
    if refused and not merged:
        # The first is that of the board itself; others are its variants.
        for name, why in refused.items():
            bb.fatal(f"the link of board '{board}' does not fit {name}: {why}")
    if not merged:
        bb.fatal(
            f"no device tree of MACHINE '{d.getVar('MACHINE')}' is one of board '{board}', which is for "
            f"{' or '.join(wanted)}: {', '.join(others) or 'it has none'}"
        )
    if refused:
        for name, why in refused.items():
            bb.note(f"{name}: {why}")
        bb.warn(f"without the link, as it does not fit: {', '.join(refused)}; with it: {', '.join(merged)}")
    bb.note(f"with the link of {board}: {', '.join(merged)}; of other boards: {', '.join(others) or 'none'}")
}
