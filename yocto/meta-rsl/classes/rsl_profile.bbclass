# SPDX-License-Identifier: BSD-3-Clause
# The files of the profile RSL_BOARD, where that is the file of one.

def rsl_profiles(d):
    """The file of the profile and those that it extends, each with where it is on the board."""
    import os, re

    profiles = {}
    path, root = d.getVar('RSL_BOARD'), d.expand('${sysconfdir}/rslctl/')
    place = f'{root}boards/{os.path.basename(path)}'
    if path.endswith('.toml') and not os.path.isabs(path):
        bb.fatal(f"RSL_BOARD: the path of the profile '{path}' is not an absolute one")
    while path.endswith('.toml') and path not in profiles:
        profiles[path] = place
        bb.parse.mark_dependency(d, path)
        if not os.path.isfile(path):
            bb.fatal(f"RSL_BOARD: there is no file '{path}'")
        with open(path, encoding='utf-8', errors='replace') as file:
            # Before the first table. Not every Python that bitbake runs on has tomllib.
            top = re.split(r'^\s*\[', file.read(), maxsplit=1, flags=re.MULTILINE)[0]
        found = re.search(r"""^\s*["']?extends["']?\s*=\s*("{3}|'{3}|["'])(.*?)\1""", top, re.MULTILINE)
        name = found[2] if found else ''
        if not name.endswith('.toml'):
            break  # rslctl has it
        path, place = (os.path.normpath(os.path.join(os.path.dirname(each), name)) for each in (path, place))
        if not place.startswith(root):
            bb.fatal(f"RSL_BOARD: a profile extends '{name}', which would be {place} on the board, outside {root}: "
                     "put it beside the one that extends it")
    return profiles
