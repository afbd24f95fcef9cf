/** Licences of the packages of Debian of which something is in the image, by their copyright files, as SPDX expressions. */
export const DEBIAN_LICENCES: Readonly<Record<string, string>> = {
  bubblewrap: 'LGPL-2.1-or-later',
  'gcc-14-base': 'GPL-3.0-or-later WITH GCC-exception-3.1',
  'libgcc-s1': 'GPL-3.0-or-later WITH GCC-exception-3.1',
  'libstdc++6': 'GPL-3.0-or-later WITH GCC-exception-3.1',
  libc6: 'LGPL-2.1-or-later',
  libcap2: 'BSD-3-Clause OR GPL-2.0-only',
  'libpcre2-8-0': 'BSD-3-Clause',
  libselinux1: 'LicenseRef-public-domain',
};
