# archives.cmake - libraries are taken from archives where there are such: for
# `cmake -DCMAKE_PROJECT_weft_INCLUDE=FILE`, which reads it before any library is looked for. The
# weft-cni of the image is built so: the host's runtime starts it, on a distribution that need not be
# this one, and what it needs there should be what every host with iproute2 has, libc and libmnl (of
# which Debian has no archive).
set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
