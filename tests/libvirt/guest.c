/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest without an operating system (multiboot): it sends what its command
 * line says to target 0 of the first virtio-scsi adapter, and tells on the
 * serial port how each command ended. Under two emulators, one in the other, a
 * kernel would take minutes to boot; this takes seconds.
 *
 *   register=KEY         REGISTER AND IGNORE EXISTING KEY, with APTPL
 *   reserve=KEY          RESERVE, type 5
 *   preempt=KEY,VICTIM   PREEMPT AND ABORT, type 5
 *   write                WRITE of one block
 *   write-on             the same, until it does not end in GOOD
 *
 * A line is the word and the status; a unit attention condition is a line of
 * its own, and the command is sent again. KEYs are hexadecimal digits.
 */
#include <stdint.h>

enum { GOOD = 0x00, CHECK_CONDITION = 0x02, RESERVATION_CONFLICT = 0x18 };
enum { UNIT_ATTENTION = 0x6 };
enum { REGISTER_AND_IGNORE = 0x06, RESERVE = 0x01, PREEMPT_AND_ABORT = 0x05 };
enum { WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5, APTPL = 1 };

/* A transitional virtio device (virtio 1.0, 4.1.4.8), by ports */
enum { VIRTIO_VENDOR = 0x1af4, VIRTIO_SCSI = 0x1004 };
enum { QUEUE_PAGE = 8, QUEUE_SIZE = 12, QUEUE_SELECT = 14, QUEUE_NOTIFY = 16,
       DEVICE_STATUS = 18 };
enum { ACKNOWLEDGE_DRIVER_OK = 7 };
enum { REQUEST_QUEUE = 2, PAGE = 4096, MAX_QUEUE = 256 };
enum { DESC_NEXT = 1, DESC_WRITE = 2 };

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct request {
    uint8_t lun[8];
    uint64_t tag;
    uint8_t task_attribute, priority, crn;
    uint8_t cdb[32];
} __attribute__((packed));

struct response {
    uint32_t sense_length, residual;
    uint16_t status_qualifier;
    uint8_t status, response;
    uint8_t sense[96];
} __attribute__((packed));

static uint8_t queue[4 * PAGE] __attribute__((aligned(PAGE)));
static volatile struct response response;
static uint16_t adapter, queue_size, sent;

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint16_t in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Some tenths of a second. */
static void pause(void)
{
    for (int i = 0; i < 20000; i++) {
        in8(0x80);
    }
}

static void say(const char *text)
{
    for (; *text; text++) {
        while (!(in8(0x3f8 + 5) & 0x20)) {
        }
        out8(0x3f8, *text);
    }
}

static void say_byte(uint8_t value)
{
    const char *digits = "0123456789abcdef";
    char text[3] = { digits[value >> 4], digits[value & 15], 0 };

    say(text);
}

static void stop(const char *why)
{
    say(why);
    say("\n");
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

static uint32_t pci(int slot, int offset)
{
    out32(0xcf8, 0x80000000u | slot << 11 | offset);
    return in32(0xcfc);
}

/* The firmware has given it its ports. */
static void find_adapter(void)
{
    for (int slot = 0; slot < 32; slot++) {
        if (pci(slot, 0) == (VIRTIO_SCSI << 16 | VIRTIO_VENDOR)) {
            adapter = pci(slot, 0x10) & ~3u;
            pci(slot, 4);
            out16(0xcfc, 7); /* I/O, memory, bus master */
            return;
        }
    }
    stop("no virtio-scsi adapter");
}

static void start_adapter(void)
{
    out8(adapter + DEVICE_STATUS, 0);
    out8(adapter + DEVICE_STATUS, 1);
    out8(adapter + DEVICE_STATUS, 3);
    out16(adapter + QUEUE_SELECT, REQUEST_QUEUE);
    queue_size = in16(adapter + QUEUE_SIZE);
    if (queue_size == 0 || queue_size > MAX_QUEUE) {
        stop("the request queue has another size than expected");
    }
    out32(adapter + QUEUE_PAGE, (uint32_t)queue / PAGE);
    out8(adapter + DEVICE_STATUS, ACKNOWLEDGE_DRIVER_OK);
}

/* The rings are behind the descriptors, the used ring on a page of its own. */
static volatile uint16_t *available(void)
{
    return (volatile uint16_t *)(queue + sizeof(struct descriptor) * queue_size);
}

static volatile uint16_t *used(void)
{
    uint32_t end = (uint32_t)available() + 2 * (3 + queue_size);

    return (volatile uint16_t *)((end + PAGE - 1) & ~(PAGE - 1u));
}

static void describe(int index, volatile void *data, uint32_t length, int flags)
{
    volatile struct descriptor *table = (volatile void *)queue;

    table[index].address = (uint32_t)data;
    table[index].length = length;
    table[index].flags = flags;
    table[index].next = index + 1;
}

/* One command at a time; its status. */
static uint8_t send(struct request *request, void *data, uint32_t length)
{
    volatile uint16_t *ring = available();

    describe(0, request, sizeof(*request), DESC_NEXT);
    describe(1, data, length, DESC_NEXT);
    describe(2, &response, sizeof(response), DESC_WRITE);
    response.status = 0xff;
    response.response = 0xff;
    ring[2 + sent % queue_size] = 0;
    __asm__ volatile("mfence" : : : "memory");
    ring[1] = ++sent;
    __asm__ volatile("mfence" : : : "memory");
    out16(adapter + QUEUE_NOTIFY, REQUEST_QUEUE);
    while (used()[1] != sent) {
        __asm__ volatile("pause" : : : "memory");
    }
    if (response.response != 0) {
        stop("the adapter has failed");
    }
    return response.status;
}

/* Fixed format sense data. */
static int is_unit_attention(uint8_t status)
{
    return status == CHECK_CONDITION &&
           (response.sense[2] & 0xf) == UNIT_ATTENTION;
}

static uint8_t send_again(struct request *request, void *data, uint32_t length)
{
    uint8_t status;

    request->lun[0] = 1;    /* target 0, logical unit 0 */
    request->lun[2] = 0x40;
    while (is_unit_attention(status = send(request, data, length))) {
        say("UNIT ATTENTION ");
        say_byte(response.sense[12]);
        say_byte(response.sense[13]);
        say("\n");
    }
    return status;
}

static uint8_t reserve_out(int action, uint64_t key, uint64_t other)
{
    struct request request = { .cdb = { 0x5f, action } };
    uint8_t list[24] = { 0 };

    request.cdb[2] = WRITE_EXCLUSIVE_REGISTRANTS_ONLY;
    request.cdb[8] = sizeof(list);
    for (int i = 0; i < 8; i++) {
        list[i] = key >> 8 * (7 - i);
        list[8 + i] = other >> 8 * (7 - i);
    }
    if (action == REGISTER_AND_IGNORE) {
        request.cdb[2] = 0;
        list[20] = APTPL;
    }
    return send_again(&request, list, sizeof(list));
}

static uint8_t write(void)
{
    static uint8_t block[512];
    struct request request = { .cdb = { 0x2a, [8] = 1 } };

    return send_again(&request, block, sizeof(block));
}

/* Whether the word is this one; what follows "=" is at *arguments. */
static int is_word(const char *word, const char *name, const char **arguments)
{
    while (*name && *word == *name) {
        word++;
        name++;
    }
    *arguments = *word == '=' ? word + 1 : word;
    return *name == 0 && (*word == 0 || *word == '=');
}

static uint64_t hexadecimal(const char **text)
{
    uint64_t value = 0;

    for (; **text && **text != ','; (*text)++) {
        value = value << 4 | (**text <= '9' ? **text - '0' : **text - 'a' + 10);
    }
    *text += **text == ',';
    return value;
}

static uint8_t carry_out(const char *word)
{
    const char *arguments;
    uint8_t status;
    uint64_t key;

    if (is_word(word, "write", &arguments)) {
        return write();
    }
    if (is_word(word, "write-on", &arguments)) {
        while ((status = write()) == GOOD) {
            pause();
        }
        return status;
    }
    if (is_word(word, "register", &arguments)) {
        return reserve_out(REGISTER_AND_IGNORE, 0, hexadecimal(&arguments));
    }
    if (is_word(word, "reserve", &arguments)) {
        return reserve_out(RESERVE, hexadecimal(&arguments), 0);
    }
    if (is_word(word, "preempt", &arguments)) {
        key = hexadecimal(&arguments);
        return reserve_out(PREEMPT_AND_ABORT, key, hexadecimal(&arguments));
    }
    stop("not understood");
    return 0;
}

static void tell(const char *word, uint8_t status)
{
    say(word);
    say(": ");
    if (status == GOOD) {
        say("GOOD\n");
    } else if (status == RESERVATION_CONFLICT) {
        say("RESERVATION CONFLICT\n");
    } else {
        say("status ");
        say_byte(status);
        say("\n");
    }
}

/* Ends the word with a zero; what follows it. */
static char *cut(char *word)
{
    while (*word && *word != ' ') {
        word++;
    }
    while (*word == ' ') {
        *word++ = 0;
    }
    return word;
}

/* The loader's command line; its first word is the file. */
void guest(const uint32_t *multiboot)
{
    char *word = cut((char *)multiboot[4]);

    find_adapter();
    start_adapter();
    while (*word) {
        char *next = cut(word);
        tell(word, carry_out(word));
        word = next;
    }
    stop("That was it.");
}

__asm__(".pushsection .text.start, \"ax\"\n"
        ".align 4\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".global _start\n"
        "_start: mov $stack_end, %esp\n"
        "push %ebx\n"
        "call guest\n"
        ".section .bss\n"
        ".skip 8192\n"
        "stack_end:\n"
        ".popsection\n");
