/* A BSON document as one COPY text row, in a tenth of the time that pymongo and orjson take.
 *
 * Compiled at set-up where there is a compiler (`compile.py`); `transcoder.py` does the same without. Only what
 * most documents consist of is written here. Anything else makes `row` return None, and the document
 * is read to the letter in Python: another type, NUL or bad UTF-8 in text, a number that JSON can't
 * carry, a date beyond four-digit years, nesting beyond MAX_DEPTH, a length that doesn't fit.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 100
#define CLOCK "updated_at"

typedef struct {
    char *start, *at, *end;
    int64_t clock;     /* milliseconds, if has_clock */
    char stamp[32];    /* the same as text, without quotes */
    int has_clock;
} Out;

/* All writers return 0, or -1 where the document is none for this module. */

static int room(Out *out, size_t size)
{
    if ((size_t)(out->end - out->at) >= size)
        return 0;
    size_t used = out->at - out->start, want = (used + size) * 2;
    char *moved = PyMem_Realloc(out->start, want);
    if (!moved)
        return -1;
    out->start = moved;
    out->at = moved + used;
    out->end = moved + want;
    return 0;
}

static int put(Out *out, const char *text, size_t size)
{
    if (room(out, size))
        return -1;
    memcpy(out->at, text, size);
    out->at += size;
    return 0;
}

static int32_t int32_at(const unsigned char *data)
{
    return (int32_t)((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16
                     | (uint32_t)data[3] << 24);
}

static uint64_t uint64_at(const unsigned char *data)
{
    return (uint64_t)(uint32_t)int32_at(data) | (uint64_t)(uint32_t)int32_at(data + 4) << 32;
}

/* Bytes of one well-formed UTF-8 character beyond ASCII, or 0 (RFC 3629, table of syntax). */
static size_t utf8(const unsigned char *text, const unsigned char *end)
{
    unsigned char first = text[0];
    size_t size = first >= 0xC2 && first <= 0xDF ? 2 : (first & 0xF0) == 0xE0 ? 3
                  : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
    if (!size || (size_t)(end - text) < size)
        return 0;
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return size;
}

static int put_text(Out *out, const unsigned char *text, size_t size)
{
    const unsigned char *end = text + size;
    if (room(out, size * 6 + 2)) /* \u00xx for each byte, at most */
        return -1;
    char *at = out->at;
    *at++ = '"';
    while (text < end) {
        unsigned char c = *text;
        if (c >= 0x80) {
            size_t length = utf8(text, end);
            if (!length)
                return -1;
            memcpy(at, text, length);
            at += length;
            text += length;
            continue;
        }
        if (c >= 0x20 && c != '"' && c != '\\') {
            *at++ = (char)c;
        } else if (c == 0) {
            return -1;
        } else {
            const char *hex = "0123456789abcdef";
            *at++ = '\\';
            if (c == '"' || c == '\\') {
                *at++ = (char)c;
            } else if (c >= 8 && c <= 13 && c != 11) {
                *at++ = "btn?fr"[c - 8];
            } else {
                memcpy(at, "u00", 3);
                at[3] = hex[c >> 4];
                at[4] = hex[c & 15];
                at += 5;
            }
        }
        text++;
    }
    *at++ = '"';
    out->at = at;
    return 0;
}

static int put_uint(Out *out, unsigned __int128 value, int width)
{
    char digits[40];
    int at = sizeof digits;
    do {
        digits[--at] = (char)('0' + (int)(value % 10));
        value /= 10;
        width--;
    } while (value);
    while (width-- > 0)
        digits[--at] = '0';
    return put(out, digits + at, sizeof digits - at);
}

static int put_int(Out *out, int64_t value)
{
    char digits[24];
    int at = sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        digits[--at] = '-';
    return put(out, digits + at, sizeof digits - at);
}

/* Below 1e-4 Python writes 1.5e-05 and 1.5e-07, orjson 0.000015 and 1.5e-7. */
static int put_small(Out *out, const char *text, const char *e)
{
    int exponent = atoi(e + 1);
    if (exponent != -5) {
        char power[8];
        int length = snprintf(power, sizeof power, "e%d", exponent);
        return put(out, text, (size_t)(e - text)) || put(out, power, (size_t)length) ? -1 : 0;
    }
    if (*text == '-' && put(out, text++, 1))
        return -1;
    if (put(out, "0.0000", 6) || put(out, text, 1))
        return -1;
    return text[1] == '.' ? put(out, text + 2, (size_t)(e - text - 2)) : 0;
}

/* Prices, quantities and places have few decimals: whole / 10**n is the double to the bit then, and
 * with at most 15 digits no shorter text is. Others are written as Python writes them. */
static int put_double(Out *out, double value)
{
    static const double scales[] = {1, 100, 10000, 1000000};
    if (!(fabs(value) < 1e15) || (value == 0 && signbit(value)))
        return -1;
    for (int i = 0; i < 4; i++) {
        double whole = rint(value * scales[i]);
        if (fabs(whole) >= 1e15 || whole / scales[i] != value || (value != 0 && fabs(value) < 1e-5))
            continue;
        char digits[40];
        int at = sizeof digits, places = i ? 2 * i : 1;
        uint64_t rest = (uint64_t)fabs(whole) * (i ? 1 : 10);
        int is_tail = 1;
        for (int place = 0; place < places || rest; place++) {
            if (place == places)
                digits[--at] = '.';
            if (!(is_tail && place < places - 1 && rest % 10 == 0)) {
                digits[--at] = (char)('0' + rest % 10);
                is_tail = 0;
            }
            rest /= 10;
        }
        if (fabs(value) < 1) {
            digits[--at] = '.';
            digits[--at] = '0';
        }
        if (value < 0)
            digits[--at] = '-';
        return put(out, digits + at, sizeof digits - at);
    }
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (!text)
        return -1;
    char *e = strchr(text, 'e');
    int result = e ? put_small(out, text, e) : put(out, text, strlen(text));
    PyMem_Free(text);
    return result;
}

/* As `decimals.to_text` for finite numbers with 0 to 34 decimal places. */
static int put_decimal(Out *out, const unsigned char *data)
{
    uint64_t low = uint64_at(data), high = uint64_at(data + 8);
    int exponent = (int)(high >> 49 & 0x3FFF) - 6176;
    unsigned __int128 coefficient = (unsigned __int128)(high & 0x1FFFFFFFFFFFFULL) << 64 | low;
    unsigned __int128 limit = (unsigned __int128)10000000000000000ULL * 1000000000000000000ULL;
    int is_negative = (int)(high >> 63);
    if ((high >> 61 & 3) == 3 || exponent > 0 || exponent < -34 || coefficient >= limit
        || (is_negative && !coefficient))
        return -1;
    if (is_negative && put(out, "-", 1))
        return -1;
    if (put_uint(out, coefficient, exponent ? 1 - exponent : 1))
        return -1;
    if (exponent) {
        if (room(out, 1))
            return -1;
        memmove(out->at + exponent + 1, out->at + exponent, (size_t)-exponent);
        out->at[exponent] = '.';
        out->at++;
    }
    return 0;
}

/* Days to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int date_text(char *text, int64_t milliseconds)
{
    if (milliseconds < -62135596800000LL || milliseconds > 253402300799999LL)
        return -1; /* before year 1, after 9999 */
    int64_t days = milliseconds / 86400000, rest = milliseconds % 86400000;
    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    unsigned year = (unsigned)((int64_t)yoe + era * 400 + (month <= 2));
    unsigned seconds = (unsigned)(rest / 1000), millis = (unsigned)(rest % 1000);
    unsigned parts[] = {year / 100, year % 100, month, day, seconds / 3600, seconds / 60 % 60,
                        seconds % 60};
    static const char after[] = {0, '-', '-', 'T', ':', ':', 0};
    int at = 0;
    for (int i = 0; i < 7; i++) {
        text[at++] = (char)('0' + parts[i] / 10);
        text[at++] = (char)('0' + parts[i] % 10);
        if (after[i])
            text[at++] = after[i];
    }
    if (millis) {
        text[at++] = '.';
        text[at++] = (char)('0' + millis / 100);
        text[at++] = (char)('0' + millis / 10 % 10);
        text[at++] = (char)('0' + millis % 10);
        memcpy(text + at, "000", 3);
        at += 3;
    }
    text[at++] = 'Z';
    return at;
}

static int put_object(Out *out, const unsigned char *data, size_t size, int is_array, int depth);

/* One value of at most `left` bytes; returns how many it has, or -1. */
static int64_t put_value(Out *out, int kind, const unsigned char *data, size_t left, int depth,
                         int is_clock)
{
    static const unsigned char fixed[] = {[0x01] = 8, [0x07] = 12, [0x08] = 1, [0x09] = 8,
                                          [0x10] = 4, [0x12] = 8,  [0x13] = 16};
    size_t size = kind < (int)sizeof fixed ? fixed[kind] : 0;
    if (kind == 0x02 || kind == 0x03 || kind == 0x04) {
        if (left < 4 || int32_at(data) < 1)
            return -1;
        size = (size_t)int32_at(data) + (kind == 0x02 ? 4 : 0);
    } else if (!size && kind != 0x0A) {
        return -1;
    }
    if (size > left)
        return -1;
    int failed = -1;
    switch (kind) {
    case 0x01: {
        uint64_t bits = uint64_at(data);
        double value;
        memcpy(&value, &bits, sizeof value);
        failed = put_double(out, value);
        break;
    }
    case 0x02:
        failed = data[size - 1] ? -1 : put_text(out, data + 4, size - 5);
        break;
    case 0x03:
    case 0x04:
        failed = put_object(out, data, size, kind == 0x04, depth + 1);
        break;
    case 0x07: {
        char hex[26];
        hex[0] = hex[25] = '"';
        for (int i = 0; i < 12; i++) {
            hex[1 + 2 * i] = "0123456789abcdef"[data[i] >> 4];
            hex[2 + 2 * i] = "0123456789abcdef"[data[i] & 15];
        }
        failed = put(out, hex, sizeof hex);
        break;
    }
    case 0x08:
        failed = data[0] > 1 ? -1 : data[0] ? put(out, "true", 4) : put(out, "false", 5);
        break;
    case 0x09: {
        char text[32];
        int64_t milliseconds = (int64_t)uint64_at(data);
        int length = date_text(text, milliseconds);
        if (length < 0 || put(out, "\"", 1) || put(out, text, (size_t)length) || put(out, "\"", 1))
            break;
        if (is_clock) {
            memcpy(out->stamp, text, (size_t)length);
            out->stamp[length] = 0;
            out->clock = milliseconds;
            out->has_clock = 1;
        }
        failed = 0;
        break;
    }
    case 0x0A:
        failed = put(out, "null", 4);
        break;
    case 0x10:
        failed = put_int(out, int32_at(data));
        break;
    case 0x12:
        failed = put_int(out, (int64_t)uint64_at(data));
        break;
    case 0x13:
        failed = put_decimal(out, data);
        break;
    }
    return failed ? -1 : (int64_t)size;
}

static int put_object(Out *out, const unsigned char *data, size_t size, int is_array, int depth)
{
    const unsigned char *end = data + size - 1;
    if (size < 5 || (size_t)int32_at(data) != size || *end || depth > MAX_DEPTH)
        return -1;
    if (put(out, is_array ? "[" : "{", 1))
        return -1;
    int is_first = 1;
    for (data += 4; data < end; is_first = 0) {
        int kind = *data++;
        const unsigned char *key = data, *stop = memchr(key, 0, (size_t)(end - key));
        if (!stop || (!is_first && put(out, ",", 1)))
            return -1;
        if (!is_array && (put_text(out, key, (size_t)(stop - key)) || put(out, ":", 1)))
            return -1;
        data = stop + 1;
        int is_clock = !depth && (size_t)(stop - key) == sizeof CLOCK - 1
                       && !memcmp(key, CLOCK, sizeof CLOCK - 1);
        int64_t used = put_value(out, kind, data, (size_t)(end - data), depth, is_clock);
        if (used < 0)
            return -1;
        data += used;
    }
    return data == end ? put(out, is_array ? "]" : "}", 1) : -1;
}

PyDoc_STRVAR(row_doc,
"row(document, identity, digest, types) -> (row, stamp, milliseconds) | None\n\n"
"One COPY text row whose backslashes are not yet escaped, with updated_at as text (\"\" and None\n"
"where it has none).");

static PyObject *row(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 4 || !PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "row(document: bytes, identity, digest, types)");
        return NULL;
    }
    const char *texts[3];
    Py_ssize_t sizes[3];
    for (int i = 0; i < 3; i++)
        if (!(texts[i] = PyUnicode_AsUTF8AndSize(args[i + 1], &sizes[i])))
            return NULL;
    size_t size = (size_t)PyBytes_GET_SIZE(args[0]);
    Out json = {0};
    if (room(&json, size * 2 + 64)) {
        PyMem_Free(json.start);
        return PyErr_NoMemory();
    }
    if (put_object(&json, (unsigned char *)PyBytes_AS_STRING(args[0]), size, 0, 0)) {
        PyMem_Free(json.start);
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    size_t stamp = json.has_clock ? strlen(json.stamp) : 0, length = (size_t)(json.at - json.start);
    size_t all = (size_t)(sizes[0] + sizes[1] + sizes[2]) + stamp + length + 5;
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)all);
    if (made) {
        char *at = PyBytes_AS_STRING(made);
        const char *fields[] = {texts[0], json.stamp, texts[1], texts[2], json.start};
        size_t lengths[] = {(size_t)sizes[0], stamp, (size_t)sizes[1], (size_t)sizes[2], length};
        for (int i = 0; i < 5; i++) {
            memcpy(at, fields[i], lengths[i]);
            at += lengths[i];
            *at++ = i < 4 ? '\t' : '\n';
        }
    }
    PyMem_Free(json.start);
    if (!made)
        return NULL;
    if (!json.has_clock)
        return Py_BuildValue("(Nss)", made, "", NULL);
    return Py_BuildValue("(NsL)", made, json.stamp, (long long)json.clock);
}

static PyMethodDef methods[] = {
    {"row", (PyCFunction)(void (*)(void))row, METH_FASTCALL, row_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_ledgerline_transcoder", "BSON documents as COPY text rows.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__ledgerline_transcoder(void)
{
    return PyModule_Create(&module);
}
