/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations for a stock QEMU: notes of ELF files. A file may be
 * anything: it is looked at before ld.so does, which trusts it.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "interface.h"
#include "notes.h"

#define ALIGN_UP(n, to) (((n) + (to) - 1) & ~((to) - 1))

/* The note's descriptor in the @size bytes at @at, or NULL. */
static const unsigned char *find_note(const char *at, size_t size, size_t align,
                                      const char *name, unsigned type,
                                      size_t *length)
{
    const ElfW(Nhdr) *note;

    align = align == 8 ? 8 : 4;
    while (size >= sizeof(*note)) {
        size_t descriptor, whole;

        note = (const void *)at;
        descriptor = ALIGN_UP(sizeof(*note) + (size_t)note->n_namesz, align);
        whole = ALIGN_UP(descriptor + note->n_descsz, align);
        if (descriptor + note->n_descsz > size) {
            return NULL;
        }
        if (note->n_type == type && note->n_namesz == strlen(name) + 1 &&
            memcmp(at + sizeof(*note), name, note->n_namesz) == 0) {
            *length = note->n_descsz;
            return (const unsigned char *)at + descriptor;
        }
        at += whole;
        size -= whole < size ? whole : size;
    }
    return NULL;
}

static int read_build_id(struct dl_phdr_info *info, size_t size, void *opaque)
{
    char *id = opaque;

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        const unsigned char *bytes = NULL;
        size_t length;

        if (ph->p_type == PT_NOTE) {
            bytes = find_note((const char *)(info->dlpi_addr + ph->p_vaddr),
                              ph->p_memsz, ph->p_align, "GNU",
                              NT_GNU_BUILD_ID, &length);
        }
        if (bytes && length < SCSI_PR_ID_SIZE / 2) {
            for (size_t k = 0; k < length; k++) {
                snprintf(id + 2 * k, 3, "%02x", bytes[k]);
            }
        }
    }
    return 1;                   /* the first object is the executable */
}

void scsi_pr_own_build_id(char id[SCSI_PR_ID_SIZE])
{
    id[0] = '\0';
    dl_iterate_phdr(read_build_id, id);
}

/* Our own machine, without knowing its number. */
static unsigned own_machine(void)
{
    extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

    return __ehdr_start.e_machine;
}

static void copy_text(char *to, size_t size, const unsigned char **from,
                      size_t *left)
{
    size_t length = strnlen((const char *)*from, *left);

    snprintf(to, size, "%.*s", (int)length, (const char *)*from);
    length += length < *left;
    *from += length;
    *left -= length;
}

/* @size: of the whole file */
static const char *look_at_segment(const char *file, size_t size,
                                   const ElfW(Phdr) *ph,
                                   ScsiPrMadeFor *made_for)
{
    const unsigned char *text;
    size_t length;

    if (ph->p_offset > size || ph->p_filesz > size - ph->p_offset) {
        return "the file is incomplete";
    }
    if (ph->p_type == PT_NOTE) {
        text = find_note(file + ph->p_offset, ph->p_filesz, ph->p_align,
                         SCSI_PR_NOTE_NAME, SCSI_PR_NOTE_MADE_FOR, &length);
        if (text) {
            copy_text(made_for->id, sizeof(made_for->id), &text, &length);
            copy_text(made_for->qemu, sizeof(made_for->qemu), &text, &length);
        }
    }
    return NULL;
}

/* Whether @count entries of @each bytes at @offset are in a file of @size. */
static int has_table(size_t size, size_t offset, size_t count, size_t each)
{
    return offset <= size && count <= (size - offset) / each;
}

static const char *look_at(const char *file, size_t size,
                           ScsiPrMadeFor *made_for)
{
    const ElfW(Ehdr) *header = (const void *)file;
    const ElfW(Phdr) *segments;
    const char *problem = NULL;

    if (size < sizeof(*header) || memcmp(file, ELFMAG, SELFMAG)) {
        return "the file is not a shared object";
    }
    if (header->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64
                                                          : ELFCLASS32) ||
        header->e_machine != own_machine()) {
        return "the file is for another architecture";
    }
    /* The table of sections is at the end. */
    if (header->e_phentsize != sizeof(ElfW(Phdr)) ||
        !has_table(size, header->e_phoff, header->e_phnum,
                   sizeof(ElfW(Phdr))) ||
        !has_table(size, header->e_shoff, header->e_shnum,
                   sizeof(ElfW(Shdr)))) {
        return "the file is incomplete";
    }
    segments = (const void *)(file + header->e_phoff);
    for (int i = 0; i < header->e_phnum && !problem; i++) {
        problem = look_at_segment(file, size, &segments[i], made_for);
    }
    if (!problem && !made_for->id[0]) {
        return "the file does not say which QEMU it is made for";
    }
    return problem;
}

const char *scsi_pr_look_at_file(const char *path, ScsiPrMadeFor *made_for)
{
    const char *problem;
    struct stat st;
    void *file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    memset(made_for, 0, sizeof(*made_for));
    if (fd < 0) {
        return strerror(errno);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        close(fd);
        return "the file is not a shared object";
    }
    file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED) {
        return strerror(errno);
    }
    problem = look_at(file, st.st_size, made_for);
    munmap(file, st.st_size);
    return problem;
}
